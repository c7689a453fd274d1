import { inspect } from 'node:util';
import { ConflictError, HocError, InvalidArgumentError, UnavailableError } from '@hoc/shared/kernel';
import { entities, migrations } from '@hoc/shared/models';
import { useDatabase } from '@hoc/testkit';
import { guarded } from './guarded';
import { pgErrorToHocError } from './pg-error';

const db = useDatabase({ entities, migrations });

describe('pgErrorToHocError', () => {
  const cases: readonly (readonly [string, string, boolean, string])[] = [
    ['23505', 'CONFLICT', false, 'unique'],
    ['23503', 'CONFLICT', false, 'foreign_key'],
    ['23001', 'CONFLICT', false, 'immutable'],
    ['23P01', 'CONFLICT', false, 'exclusion'],
    ['23502', 'INVALID_ARGUMENT', false, 'not_null'],
    ['23514', 'INVALID_ARGUMENT', false, 'check'],
    ...['22001', '22003', '22007', '22008', '22009', '22021', '22023', '22P02', '22P05', '22012'].map(
      (code) => [code, 'INVALID_ARGUMENT', false, 'value'] as const,
    ),
    ['40001', 'UNAVAILABLE', true, 'serialization'],
    ['40P01', 'UNAVAILABLE', true, 'deadlock'],
    ['55P03', 'UNAVAILABLE', true, 'lock_timeout'],
    ['57014', 'UNAVAILABLE', true, 'statement_timeout'],
    ['57P01', 'UNAVAILABLE', true, 'shutdown'],
    ['57P02', 'UNAVAILABLE', true, 'shutdown'],
    ['57P03', 'UNAVAILABLE', true, 'shutdown'],
    ['25P03', 'UNAVAILABLE', true, 'idle_in_transaction_timeout'],
    ['53300', 'UNAVAILABLE', true, 'resources'],
    ['53100', 'UNAVAILABLE', true, 'resources'],
    ['08006', 'UNAVAILABLE', true, 'connection'],
    ['25006', 'UNAVAILABLE', true, 'read_only'],
    ['25P02', 'UNAVAILABLE', false, 'aborted_transaction'],
    ['25P01', 'TRANSACTION_REQUIRED', false, 'no_transaction'],
    ['28000', 'UNAVAILABLE', false, 'access'],
    ['42501', 'UNAVAILABLE', false, 'access'],
    ['3D000', 'UNAVAILABLE', false, 'access'],
    ['42P01', 'DATA_INTEGRITY', false, 'schema'],
    ['42703', 'DATA_INTEGRITY', false, 'schema'],
    ['42883', 'DATA_INTEGRITY', false, 'schema'],
    ['42704', 'DATA_INTEGRITY', false, 'schema'],
    ['P0001', 'INTERNAL', false, 'unknown'],
  ];
  it.each(cases)('%s from the server is %s', async (sqlstate, code, retryable, reason) => {
    const raised = guarded(() =>
      db
        .manager()
        .query(
          `DO $$ BEGIN RAISE EXCEPTION 'hunter2' USING ERRCODE = '${sqlstate}', DETAIL = 'hunter2', CONSTRAINT = 'uq_x', TABLE = 'tx', COLUMN = 'cx'; END $$`,
        ),
    );
    const error = await raised.then(
      () => null,
      (thrown: unknown) => thrown,
    );
    expect(HocError.is(error)).toBe(true);
    expect(error).toMatchObject({
      code,
      retryable,
      details: { reason, sqlstate, constraint: 'uq_x', table: 'tx', column: 'cx' },
    });
    for (const text of [
      inspect(error, { depth: 9, showHidden: true }),
      JSON.stringify(error),
      inspect((error as Error).cause, { depth: 9, showHidden: true }),
    ])
      expect(text).not.toMatch(/hunter2|RAISE|DO \$\$/);
  });

  it('F8: bare errors', () => {
    expect(pgErrorToHocError({ code: '40P01' })).toMatchObject({
      code: 'UNAVAILABLE',
      retryable: true,
      details: { reason: 'deadlock' },
    });
    expect(pgErrorToHocError({ code: '23505', constraint: 'uq_x' })).toMatchObject({
      code: 'CONFLICT',
      details: { constraint: 'uq_x' },
    });
    expect(pgErrorToHocError(Error('boom'))).toMatchObject({ code: 'INTERNAL', name: 'HocError' });
    expect(ConflictError.is(pgErrorToHocError({ code: '23505' }))).toBe(true);
  });

  it.each(['ECONNREFUSED', 'ECONNRESET', 'EPIPE', 'ETIMEDOUT', 'ENOTFOUND', 'EHOSTUNREACH'])(
    '%s is a lost connection',
    (code) => {
      const error = Object.assign(new Error('connect 10.0.0.7:5432'), { code });
      for (const given of [error, new AggregateError([error]), { driverError: error }]) {
        const mapped = pgErrorToHocError(given);
        expect(UnavailableError.is(mapped)).toBe(true);
        expect(mapped).toMatchObject({ retryable: true, details: { reason: 'connection', system: code } });
        expect(inspect(mapped)).not.toContain('10.0.0.7');
      }
    },
  );

  it.each([
    'Connection terminated unexpectedly',
    'Client has encountered a connection error and is not queryable',
    'timeout exceeded when trying to connect',
  ])('%s is a lost connection', (message) => {
    expect(pgErrorToHocError(new Error(message))).toMatchObject({
      code: 'UNAVAILABLE',
      details: { reason: 'connection' },
    });
  });

  it('is idempotent, and takes anything', async () => {
    const own = new InvalidArgumentError('x');
    expect(pgErrorToHocError(own)).toBe(own);
    for (const odd of [null, undefined, 7, 'text', {}, [], new AggregateError([])])
      expect(pgErrorToHocError(odd).code).toBe('INTERNAL');
    await expect(guarded(async () => 5)).resolves.toBe(5);
  });
});
