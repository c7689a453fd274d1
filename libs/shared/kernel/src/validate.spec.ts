import { Type } from 'class-transformer';
import { IsDate, IsInt, IsOptional, ValidateNested } from 'class-validator';
import { InvalidArgumentError } from './errors';
import { IsIdText, IsJsonObject, IsMoneyText, IsPlainText, validateOrThrow } from './validate';

class Inner {
  @IsInt() count!: number;
}
class Request {
  @IsIdText(5) id!: string;
  @IsMoneyText() cost!: string;
  @IsOptional() @IsPlainText(1, 3) note?: string;
  @IsOptional() @IsJsonObject() metadata?: object;
  @IsOptional() @IsDate() at?: Date;
  @IsOptional() @ValidateNested() @Type(() => Inner) inner?: Inner;
}
const good = { id: 'a', cost: '1.5' };
const faults = (plain: unknown): unknown => {
  try {
    validateOrThrow(Request, plain);
  } catch (error) {
    expect(InvalidArgumentError.is(error)).toBe(true);
    return (error as InvalidArgumentError).details;
  }
  return null;
};

describe('validateOrThrow', () => {
  it('gives an instance; dates and open-ended details come through', () => {
    const at = new Date(5);
    const taken = validateOrThrow(Request, {
      ...good,
      at,
      metadata: { a: { b: [1, { c: null }] } },
      inner: { count: 1 },
    });
    expect(taken).toBeInstanceOf(Request);
    expect(taken.at).toEqual(at);
    expect(taken.metadata).toEqual({ a: { b: [1, { c: null }] } });
    expect(taken.inner).toBeInstanceOf(Inner);
  });
  it('names every broken rule and no value', () => {
    const details = faults({ id: 'secret-too-long', cost: 1.5, inner: { count: 'x' } });
    expect(details).toEqual({
      field: 'id',
      reason: 'isIdText',
      fields: [
        { path: 'id', rule: 'isIdText' },
        { path: 'cost', rule: 'isMoneyText' },
        { path: 'inner.count', rule: 'isInt' },
      ],
    });
    expect(JSON.stringify(details)).not.toContain('secret');
  });
  it('leaves open-ended details as the sender wrote them, whatever their keys', () => {
    const metadata = { constructor: 'x', deep: { constructor: { name: 1 }, list: [{ a: 1 }] } };
    expect(validateOrThrow(Request, { ...good, metadata }).metadata).toEqual(metadata);
    expect(faults({ id: { constructor: 'x' }, cost: '1' })).toMatchObject({ field: 'id', reason: 'isIdText' });
    const hidden = JSON.parse('{"id":"a","cost":"1","metadata":{"__proto__":{"x":1}}}') as object;
    expect(faults(hidden)).toMatchObject({ field: 'metadata' });
    expect(faults({ ...good, constructor: 'x' })).toMatchObject({ field: 'constructor' });
  });
  it('walks no value that no class awaits: a list of a million items would hold everybody up', () => {
    let reads = 0;
    const item = {
      get a() {
        reads += 1;
        return 1;
      },
    };
    expect(faults({ ...good, note: [item] })).toMatchObject({ field: 'note', reason: 'isPlainText' });
    expect(reads).toBe(0);
  });
  it('makes no instance of each item of a list that is far too long', () => {
    const inner = Array.from({ length: 10_001 }, () => ({ count: 1 }));
    expect(faults({ ...good, inner })).toMatchObject({ field: 'inner', reason: 'arrayMaxSize' });
  });
  it('says of a hostile request no more than a reader can use', () => {
    const keys = Object.fromEntries(Array.from({ length: 300 }, (_, n) => [`${'k'.repeat(500)}${n}`, 1]));
    const { fields } = faults({ ...good, ...keys }) as { fields: { path: string }[] };
    expect(fields).toHaveLength(100);
    expect(fields[0]?.path).toBe(`${'k'.repeat(200)}…`);
  });
  it.each([
    ['a list with a hole', { ...good, note: new Array(2) }],
    ['unknown key', { ...good, extra: 1 }],
    ['negative money', { ...good, cost: '-1' }],
    ['seven fraction digits', { ...good, cost: '1.1234567' }],
    ['number as money', { ...good, cost: 1 }],
    ['invalid date', { ...good, at: new Date(NaN) }],
    ['date as text', { ...good, at: '2026-01-01' }],
    ['NUL', { ...good, note: 'a\0' }],
    ['list for an object', { ...good, metadata: [] }],
    ['own __proto__', JSON.parse('{"id":"a","cost":"1","__proto__":{"x":1}}')],
    ['nothing', undefined],
    ['null', null],
    ['text', 'x'],
    ['list', [good]],
    ['Date', new Date()],
  ])('refuses %s', (_name, plain) => {
    expect(faults(plain)).toMatchObject({ field: expect.any(String), reason: expect.any(String) });
  });
});
