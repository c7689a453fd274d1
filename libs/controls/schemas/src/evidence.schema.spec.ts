import { InvalidArgumentError, sha256Hex } from '@hoc/shared/kernel';
import fc from 'fast-check';
import { type ControlSetMember, controlSetVersion } from './evidence.schema';

const RUNS = 300;
const member = (limitId: string, version: number, effectiveValue: string): ControlSetMember => ({
  limitId,
  version,
  effectiveValue,
});
const bad = (value: unknown): never => value as never;

describe('controlSetVersion', () => {
  it('H.4: the order of the limits and trailing zeros say nothing', () => {
    const one = controlSetVersion([member('l2', 1, '5'), member('l1', 3, '10.50')]);
    expect(one).toBe(controlSetVersion([member('l1', 3, '10.5'), member('l2', 1, '5')]));
    expect(one).toMatch(/^[0-9a-f]{64}$/);
  });
  it('is the SHA-256 of the canonical JSON of the sorted list', () => {
    expect(controlSetVersion([member('l2', 1, '5'), member('l1', 3, '10.50')])).toBe(
      sha256Hex('[["l1",3,"10.5"],["l2",1,"5"]]'),
    );
    expect(controlSetVersion([])).toBe(sha256Hex('[]'));
  });
  it('leaves the caller’s list as it is', () => {
    const given = Object.freeze([member('b', 1, '1'), member('a', 1, '1')]);
    controlSetVersion(given);
    expect(given.map(({ limitId }) => limitId)).toEqual(['b', 'a']);
  });

  it.each<[string, readonly ControlSetMember[]]>([
    ['limitId', [member('', 1, '1')]],
    ['limitId', [member(bad(undefined), 1, '1')]],
    ['version', [member('a', 0, '1')]],
    ['version', [member('a', 1.5, '1')]],
    ['version', [member('a', 2_147_483_648, '1')]],
    ['effectiveValue', [member('a', 1, '-1')]],
    ['effectiveValue', [member('a', 1, '-0')]],
    ['effectiveValue', [member('a', 1, '1e3')]],
    ['effectiveValue', [member('a', 1, '1.0000001')]],
    ['effectiveValue', [member('a', 1, bad(5))]],
    ['limits', [member('a', 1, '1'), member('b', 1, '1'), member('a', 2, '1')]],
    ['limits', bad('a')],
    ['limits', Array.from({ length: 10_001 }, (_, n) => member(`l-${n}`, 1, '1'))],
    ['limit', [bad(null)]],
  ])('a bad %s is refused (case %#)', (field, limits) => {
    const call = (): string => controlSetVersion(limits);
    expect(call).toThrow(InvalidArgumentError);
    expect(call).toThrow(expect.objectContaining({ details: expect.objectContaining({ field }) as unknown }));
  });
});

const limits = fc.uniqueArray(
  fc.record({
    limitId: fc.constantFrom('a', 'B', 'ä', '𝄞', '\uE000', 'a,b', '"', '["a"'),
    version: fc.integer({ min: 1, max: 3 }),
    effectiveValue: fc.constantFrom('0', '1', '10', '0.000001', '99999999999999.999999'),
  }),
  { selector: ({ limitId }) => limitId, maxLength: 8 },
);
const sorted = (set: readonly ControlSetMember[]): string =>
  JSON.stringify([...set].sort((a, b) => (a.limitId < b.limitId ? -1 : 1)));

describe('laws of controlSetVersion', () => {
  it('two sets have one name exactly where they are the same set', () => {
    fc.assert(
      fc.property(limits, limits, (a, b) => {
        expect(controlSetVersion(a) === controlSetVersion(b)).toBe(sorted(a) === sorted(b));
      }),
      { numRuns: RUNS },
    );
  });
  it('any order of a set, and any spelling of its values, has its name; another value has another one', () => {
    const turned = limits.chain((set) =>
      fc.tuple(fc.constant(set), fc.shuffledSubarray(set, { minLength: set.length })),
    );
    const spell = (value: string): string => (value.includes('.') ? `0${value}`.slice(-21) : `${value}.000`);
    fc.assert(
      fc.property(turned, fc.nat(), ([set, other], at) => {
        const name = controlSetVersion(set);
        expect(controlSetVersion(other.map((each) => ({ ...each, effectiveValue: spell(each.effectiveValue) })))).toBe(
          name,
        );
        const changed = set.map((each, n) => (n === at % set.length ? { ...each, version: each.version + 1 } : each));
        if (set.length > 0) expect(controlSetVersion(changed)).not.toBe(name);
      }),
      { numRuns: RUNS },
    );
  });
});
