import { Type } from 'class-transformer';
import {
  Allow,
  getMetadataStorage,
  IsArray,
  IsDate,
  IsDefined,
  IsIn,
  IsInt,
  IsOptional,
  Max,
  Min,
  ValidateBy,
  ValidateIf,
  ValidateNested,
  validateSync,
} from 'class-validator';
import fc from 'fast-check';
import { InvalidArgumentError } from './errors';
import { hasRuleFor, keepsRules } from './keeps-rules';
import { IsIdText, IsJsonObject, IsMoneyText, IsPlainText, validateOrThrow } from './validate';

class Inner {
  @IsInt() count!: number;
}
class Base {
  @IsIdText(5) id!: string;
}
/** Whatever the request classes use, and what none of them does. */
class Request extends Base {
  @IsMoneyText() cost!: string;
  @IsInt() @Min(0) @Max(9) count!: number;
  @IsOptional() @IsPlainText(1, 3) note?: string;
  @IsOptional() @IsIn(['a', 'b']) kind?: string;
  @IsOptional() @IsJsonObject() metadata?: object;
  @IsOptional() @IsDate() at?: Date;
  @IsOptional() @ValidateNested() @Type(() => Inner) inner?: Inner;
  @IsOptional() @IsArray() @IsIdText(3, { each: true }) names?: string[];
  @IsOptional()
  @ValidateBy({ name: 'notNull', validator: { validate: (value) => value !== null } }, { each: true })
  all?: unknown;
  @ValidateIf((request: Request) => request.count > 4) @IsPlainText(1, 3) why?: string;
  @IsOptional() @IsInt({ validateIf: (request: Request) => request.count > 4 }) perhaps?: number;
  @IsOptional()
  @ValidateBy({
    name: 'above',
    validator: { validate: (value, at) => typeof value === 'number' && value > (at?.object as Request).count },
  })
  above?: number;
}
class Loose {
  @Allow() any?: unknown;
  @IsDefined() some?: unknown;
}
class Ruleless {
  any?: unknown;
}

const OPTIONS = { whitelist: true, forbidNonWhitelisted: true, forbidUnknownValues: true };
const instanceOf = <T extends object>(type: new () => T, members: object): T => Object.assign(new type(), members);
const good = { id: 'a', cost: '1.5', count: 3 };

describe('keepsRules', () => {
  const odd = fc.oneof(
    fc.anything({ withBigInt: true, withDate: true, withMap: true, withSet: true, withNullPrototype: true }),
    fc.constantFrom<unknown>(
      null,
      undefined,
      NaN,
      '',
      'a',
      '1.5',
      '-1',
      'a\0',
      new Date(NaN),
      [],
      {},
      [1],
      ['a', 'bbbb'],
    ),
    fc.constant(Promise.resolve(true)),
  );
  const members = fc.record(
    {
      id: fc.oneof(fc.constantFrom('a', 'é', 'toolong', ' '), odd),
      cost: fc.oneof(fc.constantFrom('0', '1.5', '0.1234567'), odd),
      count: fc.oneof(fc.integer({ min: -2, max: 11 }), odd),
      note: fc.oneof(fc.constantFrom('a', 'abcd', null), odd),
      kind: fc.oneof(fc.constantFrom('a', 'c'), odd),
      metadata: fc.oneof(fc.constantFrom({}, { a: [1] }), odd),
      at: fc.oneof(fc.constant(new Date(5)), odd),
      inner: fc.oneof(fc.constantFrom(instanceOf(Inner, { count: 1 }), instanceOf(Inner, { count: 'x' })), odd),
      names: fc.oneof(fc.constantFrom(['a'], ['a', 'long'], [], new Set(['long'])), odd),
      all: fc.oneof(fc.constantFrom([null], [1], new Set([null])), odd),
      why: fc.oneof(fc.constantFrom('a', 'abcd'), odd),
      perhaps: fc.oneof(fc.constantFrom(1, 'x'), odd),
      above: fc.oneof(fc.integer({ min: 0, max: 9 }), odd),
      extra: odd,
      toString: odd,
      hasOwnProperty: odd,
    },
    { requiredKeys: [] },
  );
  const mostlyGood = fc.tuple(fc.boolean(), members).map(([sound, given]) => (sound ? { ...given, ...good } : given));

  it('law: what it lets pass class-validator lets pass', () => {
    let passed = 0;
    const holds = <T extends object>(type: new () => T, given: object): void => {
      const instance = instanceOf(type, given);
      if (!keepsRules(type, instance)) return;
      passed += 1;
      expect(validateSync(instance, OPTIONS)).toEqual([]);
    };
    fc.assert(
      fc.property(mostlyGood, odd, (given, value) => {
        holds(Request, given);
        holds(Loose, { any: value, some: value });
        holds(Loose, { some: value });
        holds(Ruleless, {});
        holds(Ruleless, { any: value });
        for (const [key, member] of Object.entries(given)) holds(Request, { ...good, [key]: member });
      }),
      { numRuns: 500 },
    );
    expect(passed).toBeGreaterThan(150);
  });

  it.each([
    ['the least', {}],
    ['every plain member', { note: 'abc', kind: 'a', metadata: {}, at: new Date(5), above: 4 }],
    ['null for what is optional', { note: null, inner: null, names: null }],
    ['a condition that holds', { count: 5, why: 'abc', above: 6 }],
  ])('%s is decided without class-validator', (_name, more) => {
    const given = { ...good, ...more };
    const without = { ...given, perhaps: undefined };
    expect(keepsRules(Request, instanceOf(Request, without))).toBe(true);
    validateOrThrow(Request, given);
    const asked = jest.spyOn(getMetadataStorage(), 'getTargetValidationMetadatas');
    expect(validateOrThrow(Request, given)).toMatchObject(given);
    expect(asked).not.toHaveBeenCalled();
    expect(() => validateOrThrow(Request, { ...given, cost: 1 })).toThrow(InvalidArgumentError);
    expect(asked).toHaveBeenCalled();
    asked.mockRestore();
  });

  it.each([
    ['a nested object', { inner: instanceOf(Inner, { count: 1 }) }],
    ['a list', { names: ['a'] }],
    ['a key without a rule', { extra: 1 }],
    ['a key of every object', { toString: 1 }],
    ['a broken rule', { note: 'abcd' }],
    ['a broken condition', { count: 5 }],
    ['a broken inherited rule', { id: 'toolong' }],
    ['a broken rule over the whole object', { above: 'x' }],
  ])('%s is left to class-validator', (_name, more) => {
    expect(keepsRules(Request, instanceOf(Request, { ...good, ...more }))).toBe(false);
  });

  it('a class without rules, and rules that it does not know, are left to class-validator', () => {
    expect(keepsRules(Ruleless, new Ruleless())).toBe(false);
    expect(keepsRules(Loose, instanceOf(Loose, { some: 1 }))).toBe(false);
  });
});

it('hasRuleFor knows inherited members, and no others', () => {
  expect(['id', 'cost', 'extra', 'toString'].map((key) => hasRuleFor(Request, key))).toEqual([
    true,
    true,
    false,
    false,
  ]);
});

it('what a class awaits in a member is asked once', () => {
  let asked = 0;
  const awaited = () => {
    asked += 1;
    return Inner;
  };
  class Outer {
    @IsOptional() @ValidateNested() @Type(awaited) inner?: Inner;
    @IsOptional() @IsJsonObject() metadata?: object;
  }
  for (let n = 0; n < 3; n += 1)
    expect(validateOrThrow(Outer, { metadata: {}, inner: null })).toEqual({ metadata: {}, inner: null });
  expect(validateOrThrow(Outer, { inner: { count: 1 } }).inner).toBeInstanceOf(Inner);
  const once = asked;
  expect(validateOrThrow(Outer, { inner: { count: 1 } }).inner).toBeInstanceOf(Inner);
  // Only the member itself is transformed by now.
  expect(asked - once).toBeLessThan(once);
});
