import { inspect } from 'node:util';
import type * as Errors from './errors';
import { ConflictError, hasBrand, HocError, InvalidArgumentError, NotFoundError, UnavailableError } from './errors';

class LeaseLostError extends ConflictError {
  static override readonly alsoKnownAs = ['LeaseError'];
  static override is(value: unknown): value is LeaseLostError {
    return hasBrand(value, 'LeaseLostError');
  }
}

describe('HocError', () => {
  it('is recognised by brand, subclasses and second families included, in another copy too', () => {
    const error = new LeaseLostError('gone');
    expect([HocError.is(error), ConflictError.is(error), LeaseLostError.is(error), NotFoundError.is(error)]).toEqual([
      true,
      true,
      true,
      false,
    ]);
    expect(hasBrand(error, 'LeaseError')).toBe(true);
    let copy: typeof Errors | undefined;
    jest.isolateModules(() => {
      copy = jest.requireActual<typeof Errors>('./errors');
    });
    expect(copy!.ConflictError).not.toBe(ConflictError);
    expect(copy!.ConflictError.is(error)).toBe(true);
    expect(ConflictError.is(new copy!.ConflictError('x'))).toBe(true);
    expect(NotFoundError.is(new copy!.ConflictError('x'))).toBe(false);
  });

  it.each([null, undefined, 'HocError', 7, {}, new Error('x'), { name: 'HocError', code: 'CONFLICT' }])(
    'does not take %p for one',
    (value) => {
      expect(HocError.is(value)).toBe(false);
    },
  );

  it('has the class name, its code and frozen details', () => {
    const details = { field: 'x', nested: { list: [1] } };
    const error = new InvalidArgumentError('bad', { details });
    expect([error.name, error.code, error.retryable]).toEqual(['InvalidArgumentError', 'INVALID_ARGUMENT', false]);
    expect(Object.isFrozen(error.details)).toBe(true);
    expect(() => Object.assign(error.details['nested'] as object, { list: 2 })).toThrow(TypeError);
    expect(error.stack).toMatch(/^InvalidArgumentError: bad\n\s+at .*errors\.spec/);
  });

  it('shows its cause neither in JSON nor in inspect', () => {
    const cause = Object.assign(new Error('INSERT … secret'), { parameters: ['hunter2'] });
    const error = new UnavailableError('lost', { cause, retryable: true, details: { reason: 'connection' } });
    for (const text of [
      JSON.stringify(error),
      inspect(error, { depth: 9, showHidden: true }),
      String(error),
      JSON.stringify({ error }),
    ])
      expect(text).not.toMatch(/hunter2|INSERT/);
    expect(JSON.parse(JSON.stringify(error))).toEqual({
      name: 'UnavailableError',
      code: 'UNAVAILABLE',
      message: 'lost',
      details: { reason: 'connection' },
      retryable: true,
    });
    expect(error.cause).toBe(cause);
    expect(inspect(error)).toContain('connection');
  });
});
