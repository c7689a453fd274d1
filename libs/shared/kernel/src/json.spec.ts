import fc from 'fast-check';
import { HocError, InvalidArgumentError } from './errors';
import { assertJsonObject, canonicalJson, sha256Hex, type JsonValue } from './json';

class Instance {
  x = 1;
}
const cycle: Record<string, unknown> = {};
cycle['self'] = cycle;

describe('canonicalJson', () => {
  it('F6: sorts keys at every level', () => {
    expect(canonicalJson({ b: 1, a: { d: null, c: 'é' } })).toBe('{"a":{"c":"é","d":null},"b":1}');
    expect(canonicalJson(-0)).toBe('0');
  });
  it.each([
    ['undefined member', { a: undefined }],
    ['Date in a list', [new Date(0)]],
    ['undefined', undefined],
    ['NaN', { a: [NaN] }],
    ['Infinity', Infinity],
    ['bigint', 1n],
    ['function', { f: () => 1 }],
    ['symbol', Symbol('x')],
    ['symbol key', { [Symbol('x')]: 1 }],
    ['class instance', { a: new Instance() }],
    ['Map', new Map()],
    ['cycle', cycle],
    ['lone surrogate', ['\ud800']],
    ['lone surrogate key', { '\udc00': 1 }],
    ['hole', [1, , 2]],
    ['accessor', Object.defineProperty({}, 'a', { get: () => 1, enumerable: true })],
  ])('F6: refuses %s', (_name, value) => {
    expect(() => canonicalJson(value as JsonValue)).toThrow(InvalidArgumentError);
  });
  it('does not depend on key order, and tells different values apart', () => {
    const value = fc.jsonValue({ maxDepth: 4 }).map((v) => JSON.parse(JSON.stringify(v)) as JsonValue);
    const shuffled = (v: JsonValue): JsonValue =>
      typeof v === 'object' && v !== null && !Array.isArray(v)
        ? Object.fromEntries(
            Object.entries(v)
              .reverse()
              .map(([k, x]) => [k, shuffled(x)]),
          )
        : Array.isArray(v)
          ? v.map(shuffled)
          : v;
    fc.assert(
      fc.property(value, value, (a, b) => {
        expect(canonicalJson(shuffled(a))).toBe(canonicalJson(a));
        expect(JSON.parse(canonicalJson(a))).toEqual(a);
        if (canonicalJson(a) === canonicalJson(b)) expect(a).toEqual(b);
      }),
      { numRuns: 300 },
    );
  });
});

describe('assertJsonObject', () => {
  it('gives a frozen copy', () => {
    const given = { a: { b: [1] } };
    const taken = assertJsonObject(given, 'metadata');
    given.a.b.push(2);
    expect(taken).toEqual({ a: { b: [1] } });
    expect(Object.isFrozen(taken['a'])).toBe(true);
  });
  it('counts canonical bytes', () => {
    const ofBytes = (n: number) => ({ k: 'a'.repeat(n - 8) });
    expect(canonicalJson(ofBytes(65_536))).toHaveLength(65_536);
    expect(() => assertJsonObject(ofBytes(65_536), 'm')).not.toThrow();
    expect(() => assertJsonObject(ofBytes(65_537), 'm')).toThrow(InvalidArgumentError);
  });
  const nested = (depth: number): unknown => (depth === 0 ? {} : { n: nested(depth - 1) });
  it.each([
    ['list', []],
    ['null', null],
    ['text', '{}'],
    ['Date', new Date()],
    ['depth 21', nested(20)],
    ['__proto__', JSON.parse('{"a":{"__proto__":1}}')],
    ['U+0000', { a: '\0' }],
    ['undefined', { a: undefined }],
  ])('refuses %s', (_name, value) => {
    expect(() => assertJsonObject(value, 'metadata')).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT' }));
  });
  it('takes twenty levels', () => {
    expect(() => assertJsonObject(nested(19), 'm')).not.toThrow();
  });
  it('never throws anything but an HocError', () => {
    fc.assert(
      fc.property(
        fc.anything({
          withBigInt: true,
          withDate: true,
          withMap: true,
          withNullPrototype: true,
          withSparseArray: true,
        }),
        (value) => {
          try {
            assertJsonObject(value, 'v');
          } catch (error) {
            expect(HocError.is(error)).toBe(true);
          }
        },
      ),
      { numRuns: 500 },
    );
  });
});

it('sha256Hex is over UTF-8', () => {
  expect(sha256Hex('')).toBe('e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855');
  expect(sha256Hex('é')).toBe('4a99557e4033c3539de2eb65472017cad5f9557f7a0625a09f1c3f6e2ba69c4c');
});
