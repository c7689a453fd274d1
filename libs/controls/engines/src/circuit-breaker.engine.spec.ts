import { circuitBreakerConfig, Incident } from '@hoc/controls/schemas';
import { ConflictError, InvalidArgumentError, type JsonObject, UnavailableError } from '@hoc/shared/kernel';
import { type BreakerDriver, CircuitBreakerEngine, getCircuitBreakerEngine } from './circuit-breaker.engine';

const config = circuitBreakerConfig({ driftThreshold: 0.2, driftWarningThreshold: 0.15 });
const incident = new Incident({
  id: 'i',
  timestamp: new Date('2026-03-10T12:00:00.000Z'),
  reason: 'r',
  severity: 'P1',
  driftScore: 0.9,
  sampleCount: 1,
  details: {},
  resolved: false,
  resolvedAt: null,
  resolvedBy: null,
  resolutionNotes: null,
  alertSent: false,
  alertSentAt: null,
});

/** A breaker that answers, or fails, as told, and keeps what it was told. */
function breakerThat(answer: {
  readonly disabled?: boolean | Error;
  readonly incident?: Incident | null | Error;
}): BreakerDriver & { readonly reports: unknown[][] } {
  const reports: unknown[][] = [];
  const settled = <T>(value: T | Error): Promise<T> =>
    value instanceof Error ? Promise.reject(value) : Promise.resolve(value);
  return {
    config,
    reports,
    isDisabled: () => settled(answer.disabled ?? false),
    reportDrift: (score: number, samples?: number, details?: JsonObject) => {
      reports.push([score, samples, details]);
      return settled(answer.incident ?? null);
    },
  };
}
const unavailable = new UnavailableError('gone', { retryable: true, details: { reason: 'connection' } });

describe('shouldUseV2', () => {
  it.each([
    [false, { use: true, reason: 'CLOSED' }],
    [true, { use: false, reason: 'OPEN' }],
  ])('disabled %p', async (disabled, verdict) => {
    const given = await getCircuitBreakerEngine(breakerThat({ disabled })).shouldUseV2();
    expect(given).toEqual(verdict);
    expect(Object.isFrozen(given)).toBe(true);
  });

  it.each([
    [undefined, true],
    [{}, true],
    [{ onUnavailable: 'closed' }, true],
    [{ onUnavailable: 'open' }, false],
  ] as const)('a database that can’t be asked, with %j: use %p', async (options, use) => {
    const engine = new CircuitBreakerEngine(breakerThat({ disabled: unavailable }), options);
    expect(await engine.shouldUseV2()).toEqual({ use, reason: 'UNAVAILABLE' });
  });

  it.each([new ConflictError('taken'), new InvalidArgumentError('bad'), new TypeError('a fault')])(
    'any other failure is no answer: %p',
    async (error) => {
      for (const onUnavailable of ['closed', 'open'] as const)
        await expect(
          new CircuitBreakerEngine(breakerThat({ disabled: error }), { onUnavailable }).shouldUseV2(),
        ).rejects.toBe(error);
    },
  );

  it('an onUnavailable that is neither is refused', () => {
    expect(() => new CircuitBreakerEngine(breakerThat({}), { onUnavailable: 'half' as never })).toThrow(
      expect.objectContaining({ code: 'INVALID_ARGUMENT' }),
    );
    expect(() => new CircuitBreakerEngine(breakerThat({}), null as never)).toThrow(
      expect.objectContaining({ code: 'INVALID_ARGUMENT' }),
    );
  });
});

describe('observe', () => {
  it.each([
    [0, 'OK'],
    [0.15, 'OK'],
    [0.1500001, 'WARNING'],
    [0.2, 'WARNING'],
    [0.2000001, 'FAILURE'],
    [1, 'FAILURE'],
  ])('a drift of %d is %s', async (driftScore, level) => {
    const seen = await new CircuitBreakerEngine(breakerThat({})).observe({ driftScore });
    expect(seen).toEqual({ incident: null, level });
    expect(Object.isFrozen(seen)).toBe(true);
  });

  it('hands the observation on as it is, and gives the incident that it opened', async () => {
    const breaker = breakerThat({ incident });
    const seen = await new CircuitBreakerEngine(breaker).observe({
      driftScore: 0.9,
      sampleCount: 7,
      details: { a: 1 },
    });
    expect(seen).toEqual({ incident, level: 'FAILURE' });
    expect(seen.incident).toBe(incident);
    expect(breaker.reports).toEqual([[0.9, 7, { a: 1 }]]);
  });

  it('absent samples and details are left to the breaker', async () => {
    const breaker = breakerThat({});
    await new CircuitBreakerEngine(breaker).observe({ driftScore: 0 });
    expect(breaker.reports).toEqual([[0, undefined, undefined]]);
  });

  it('a report that fails fails, an unavailable database too', async () => {
    for (const error of [unavailable, new InvalidArgumentError('bad')])
      await expect(new CircuitBreakerEngine(breakerThat({ incident: error })).observe({ driftScore: 1 })).rejects.toBe(
        error,
      );
    await expect(new CircuitBreakerEngine(breakerThat({})).observe(null as never)).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
    });
  });
});
