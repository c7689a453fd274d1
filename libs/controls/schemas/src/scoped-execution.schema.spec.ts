import { HocError, InvalidArgumentError, validateOrThrow } from '@hoc/shared/kernel';
import {
  CreateScopeRequest,
  ExecuteWithScopeRequest,
  ScopeActionMismatch,
  ScopedExecutionRequired,
  ScopeExhausted,
  ScopeExpired,
  ScopeIncidentMismatch,
  ScopeNotFound,
} from './scoped-execution.schema';

const AT = new Date('2026-03-10T12:00:00.000Z');

it.each<[HocError, { is: (value: unknown) => boolean }, string, object]>([
  [
    new ScopedExecutionRequired('no', { action: 'a', incidentId: 'i', status: 'revoked' }),
    ScopedExecutionRequired,
    'CONFLICT',
    { action: 'a', incidentId: 'i', status: 'revoked' },
  ],
  [new ScopeNotFound('s'), ScopeNotFound, 'NOT_FOUND', { scopeId: 's' }],
  [new ScopeExhausted('s', 'ATTEMPTS'), ScopeExhausted, 'LIMIT_EXCEEDED', { scopeId: 's', reason: 'ATTEMPTS' }],
  [new ScopeExhausted('s', 'COST_CEILING'), ScopeExhausted, 'LIMIT_EXCEEDED', { scopeId: 's', reason: 'COST_CEILING' }],
  [new ScopeExpired('s', AT), ScopeExpired, 'CONFLICT', { scopeId: 's', expiresAt: '2026-03-10T12:00:00.000Z' }],
  [new ScopeActionMismatch('s', ['a']), ScopeActionMismatch, 'CONFLICT', { scopeId: 's', allowedActions: ['a'] }],
  [new ScopeIncidentMismatch('s'), ScopeIncidentMismatch, 'CONFLICT', { scopeId: 's' }],
])('%s is known by its class, its code and its details', (error, type, code, details) => {
  expect([error.code, error.details, error.retryable]).toEqual([code, details, false]);
  const types = [
    ScopedExecutionRequired,
    ScopeNotFound,
    ScopeExhausted,
    ScopeExpired,
    ScopeActionMismatch,
    ScopeIncidentMismatch,
  ];
  expect(types.filter((each) => each.is(error))).toEqual([type]);
  expect(HocError.is(error)).toBe(true);
});

it('requests keep what they are given, and fill in nothing', () => {
  const scope = { incidentId: 'i', allowedActions: ['a'] };
  expect({ ...validateOrThrow(CreateScopeRequest, scope) }).toEqual(scope);
  const attempt = { scopeId: 's', action: 'a', incidentId: 'i', parameters: { constructor: 1 } };
  expect({ ...validateOrThrow(ExecuteWithScopeRequest, attempt) }).toEqual(attempt);
});

it.each(['1000000', '1000000.000000', '0001000000', '999999.999999', '0'])('a ceiling of %s cents is taken', (cents) =>
  expect(
    validateOrThrow(CreateScopeRequest, { incidentId: 'i', allowedActions: ['a'], maxCostCents: cents }).maxCostCents,
  ).toBe(cents),
);
it.each(['1000000.000001', '1000001', '10000000', '2000000'])('a ceiling of %s cents is refused', (cents) =>
  expect(() =>
    validateOrThrow(CreateScopeRequest, { incidentId: 'i', allowedActions: ['a'], maxCostCents: cents }),
  ).toThrow(InvalidArgumentError),
);

it('actions that repeat are found in one pass over them, however many there are', () => {
  const refuseToSearch = {
    indexOf: () => {
      throw new Error('each was compared with each');
    },
  };
  const allowedActions = Object.assign(
    Array.from({ length: 1000 }, (_, n) => `action-${n}`),
    refuseToSearch,
  );
  const faultsOf = (given: object): unknown => {
    try {
      validateOrThrow(CreateScopeRequest, { incidentId: 'i', ...given });
    } catch (error) {
      return HocError.is(error) ? error.details['fields'] : error;
    }
    return null;
  };
  expect(faultsOf({ allowedActions })).toEqual([{ path: 'allowedActions', rule: 'arrayMaxSize' }]);
  expect(faultsOf({ allowedActions: ['a', 'b', 'a'] })).toEqual([{ path: 'allowedActions', rule: 'arrayUnique' }]);
});
