import type { LimitCheckResponse } from '@hoc/controls/schemas';
import { DataIntegrityError, InvalidArgumentError, UnavailableError } from '@hoc/shared/kernel';
import { fixedClock, memoryLogger } from '@hoc/shared/testing';
import { type ControlsGuardEngines, createControlsGuards } from './controls-guards.engine';
import { LIMIT_CHECK_UNAVAILABLE } from './limit-check.engine';

const clock = fixedClock(new Date('2026-03-10T12:00:00.000Z'));
const lost = new UnavailableError('lost', { retryable: true, details: { reason: 'connection' } });
const allowed: LimitCheckResponse = { ...LIMIT_CHECK_UNAVAILABLE, decision: 'ALLOW', reason: 'EVALUATED' };
const engines: ControlsGuardEngines = {
  breaker: { shouldUseV2: async () => ({ use: false, reason: 'OPEN' }) },
  checks: { check: async () => allowed },
};
const request = { kind: 'cost', estimated: '1' } as const;
const failing = (error: unknown) => createControlsGuards(() => Promise.reject(error), { clock });

it('gives the engines’ answers', async () => {
  const guards = createControlsGuards((work) => work(engines), { clock });
  expect(await guards.shouldUseV2()).toEqual({ use: false, reason: 'OPEN' });
  expect(await guards.check('t', request)).toBe(allowed);
});

it('a unit of work that fails is an answer: the breaker as it was told, the check blocks; and it is logged', async () => {
  expect(await failing(lost).shouldUseV2()).toEqual({ use: true, reason: 'UNAVAILABLE' });
  const logger = memoryLogger();
  const guards = createControlsGuards(() => Promise.reject(lost), { clock, logger }, 'open');
  expect(await guards.shouldUseV2()).toEqual({ use: false, reason: 'UNAVAILABLE' });
  expect(await guards.check('t', request)).toMatchObject({ decision: 'BLOCK', reason: 'UNAVAILABLE' });
  expect(logger.entries).toMatchObject([
    { level: 'warn', fields: { asked: 'breaker', reason: 'connection' } },
    { level: 'warn', fields: { asked: 'limits', reason: 'connection' } },
  ]);
});

it.each([
  ['InvalidArgumentError', new InvalidArgumentError('bad')],
  ['DataIntegrityError', new DataIntegrityError('broken')],
])('any other error is the caller’s: %s', async (_name, error) => {
  await expect(failing(error).shouldUseV2()).rejects.toBe(error);
  await expect(failing(error).check('t', request)).rejects.toBe(error);
});
