import { type BreakerSeverity, DEFAULT_CIRCUIT_BREAKER_CONFIG, Incident } from '@hoc/controls/schemas';
import fc from 'fast-check';
import {
  type BreakerRow,
  buildDisableAlertPayload,
  buildEnableAlertPayload,
  closedRow,
  decideDrift,
  effectiveOpen,
  isExpired,
  resolveDisabledUntil,
} from './circuit-breaker.rules';

const NOW = new Date('2026-03-10T12:00:00.000Z');
const config = DEFAULT_CIRCUIT_BREAKER_CONFIG;
const ago = (ms: number): Date => new Date(NOW.getTime() - ms);
const row = (fields: Partial<BreakerRow> = {}): BreakerRow => ({
  name: 'costsim_v2',
  disabled: false,
  disabledBy: null,
  disabledReason: null,
  disabledUntil: null,
  openedAt: null,
  incidentId: null,
  consecutiveFailures: 0,
  lastFailureAt: null,
  ...fields,
});
const incident = (severity: BreakerSeverity): Incident =>
  new Incident({
    id: 'i-1',
    timestamp: NOW,
    reason: 'too far',
    severity,
    driftScore: 0.25,
    sampleCount: 100,
    details: {},
    resolved: false,
    resolvedAt: null,
    resolvedBy: null,
    resolutionNotes: null,
    alertSent: false,
    alertSentAt: null,
  });

describe('isExpired and effectiveOpen', () => {
  it.each([
    { disabled: false, disabledUntil: null, autoRecoverEnabled: true, expired: false, open: false },
    { disabled: true, disabledUntil: null, autoRecoverEnabled: true, expired: false, open: true },
    { disabled: true, disabledUntil: ago(-1), autoRecoverEnabled: true, expired: false, open: true },
    { disabled: true, disabledUntil: NOW, autoRecoverEnabled: true, expired: true, open: false },
    { disabled: true, disabledUntil: ago(1), autoRecoverEnabled: true, expired: true, open: false },
    { disabled: true, disabledUntil: ago(1), autoRecoverEnabled: false, expired: false, open: true },
  ])('%j', ({ disabled, disabledUntil, autoRecoverEnabled, expired, open }) => {
    expect(isExpired({ disabled, disabledUntil }, NOW, { autoRecoverEnabled })).toBe(expired);
    expect(effectiveOpen({ disabled, disabledUntil }, NOW, { autoRecoverEnabled })).toBe(open);
  });

  it('a recovered row is closed, counts from 0 and keeps its last failure', () => {
    const open = row({
      disabled: true,
      disabledBy: 'ann',
      disabledReason: 'r',
      disabledUntil: ago(1),
      openedAt: ago(2),
      incidentId: 'i',
      consecutiveFailures: 7,
      lastFailureAt: ago(2),
    });
    expect(closedRow(open)).toEqual(row({ lastFailureAt: ago(2) }));
  });
});

describe('decideDrift', () => {
  it.each([
    { score: 0.2, before: 2, disabled: false, decided: { counter: 0, failed: false, trip: false } },
    { score: 0.2000001, before: 0, disabled: false, decided: { counter: 1, failed: true, trip: false } },
    { score: 0.3, before: 1, disabled: false, decided: { counter: 2, failed: true, trip: false } },
    { score: 0.3, before: 2, disabled: false, decided: { counter: 3, failed: true, trip: true } },
    { score: 0.3, before: 5, disabled: false, decided: { counter: 6, failed: true, trip: true } },
    { score: 0.3, before: 3, disabled: true, decided: { counter: 4, failed: true, trip: false } },
    { score: 0.1, before: 3, disabled: true, decided: { counter: 0, failed: false, trip: false } },
  ])('$score after $before failures, open $disabled', ({ score, before, disabled, decided }) => {
    expect(decideDrift({ disabled, consecutiveFailures: before }, score, config)).toEqual(decided);
  });

  it('with autoDisableEnabled false failures are counted and nothing trips', () => {
    const off = { ...config, autoDisableEnabled: false };
    expect(decideDrift(row({ consecutiveFailures: 50 }), 1, off)).toEqual({ counter: 51, failed: true, trip: false });
  });

  it('the counter stays at the end of its column', () => {
    expect(decideDrift(row({ disabled: true, consecutiveFailures: 2_147_483_647 }), 1, config).counter).toBe(
      2_147_483_647,
    );
  });

  it('trips only a closed breaker, only on a failure, only at the threshold', () => {
    fc.assert(
      fc.property(
        fc.boolean(),
        fc.nat(10),
        fc.double({ min: 0, max: 1, noNaN: true }),
        fc.integer({ min: 1, max: 8 }),
        (disabled, consecutiveFailures, score, failureThreshold) => {
          const decided = decideDrift({ disabled, consecutiveFailures }, score, { ...config, failureThreshold });
          expect(decided.failed).toBe(score > config.driftThreshold);
          expect(decided.counter).toBe(decided.failed ? consecutiveFailures + 1 : 0);
          expect(decided.trip).toBe(decided.failed && !disabled && decided.counter >= failureThreshold);
        },
      ),
      { numRuns: 300 },
    );
  });
});

describe('resolveDisabledUntil', () => {
  it('nothing asked for is the default time, and without one until a person closes it', () => {
    expect(resolveDisabledUntil(undefined, NOW, config)).toEqual(new Date('2026-03-11T12:00:00.000Z'));
    expect(resolveDisabledUntil(undefined, NOW, { defaultDisableTtlHours: 0 })).toBeNull();
  });

  it('null stays null, a later Date is taken as a copy', () => {
    const until = ago(-1);
    expect(resolveDisabledUntil(null, NOW, config)).toBeNull();
    expect(resolveDisabledUntil(until, NOW, config)).toEqual(until);
    expect(resolveDisabledUntil(until, NOW, config)).not.toBe(until);
  });

  it.each([
    ['now', NOW],
    ['the past', ago(1)],
    ['an Invalid Date', new Date(Number.NaN)],
    ['a year that PostgreSQL reads otherwise', new Date('+010000-01-01T00:00:00.000Z')],
  ])('%s is refused', (_, until) => {
    expect(() => resolveDisabledUntil(until, NOW, config)).toThrow(
      expect.objectContaining({
        code: 'INVALID_ARGUMENT',
        details: expect.objectContaining({ field: 'disabledUntil' }),
      }),
    );
  });
});

describe('the alerts', () => {
  const alerting = { instanceId: 'eu-1', runbookUrl: 'https://runbooks.example/breaker' };

  it.each(['P1', 'P2', 'P3'] as const)('of an opening, %s', (severity) => {
    const until = new Date('2026-03-11T12:00:00.000Z');
    expect(buildDisableAlertPayload(incident(severity), until, alerting, 'b', NOW)).toEqual([
      {
        labels: {
          alertname: 'CostSimV2Disabled',
          severity: severity.toLowerCase(),
          component: 'costsim',
          circuit_breaker: 'b',
          instance: 'eu-1',
          incident_id: 'i-1',
        },
        annotations: {
          summary: `CostSim V2 circuit breaker tripped (${severity})`,
          description:
            'Reason: too far\nDrift score: 0.2500\nSample count: 100\nDisabled until: 2026-03-11T12:00:00.000Z',
          runbook_url: 'https://runbooks.example/breaker',
        },
        startsAt: '2026-03-10T12:00:00.000Z',
      },
    ]);
  });

  it('of an opening without an end and without a runbook', () => {
    const [alert] = buildDisableAlertPayload(incident('P1'), null, config, 'b', NOW) as [{ annotations: object }];
    expect(alert.annotations).toEqual({
      summary: 'CostSim V2 circuit breaker tripped (P1)',
      description: 'Reason: too far\nDrift score: 0.2500\nSample count: 100\nDisabled until: manual reset required',
    });
  });

  it.each([
    ['solved', 'solved'],
    [undefined, 'Not specified'],
  ])('of a closing, reason %j', (reason, said) => {
    expect(buildEnableAlertPayload('ann', reason, alerting, 'b', NOW)).toEqual([
      {
        labels: {
          alertname: 'CostSimV2Reenabled',
          severity: 'info',
          component: 'costsim',
          circuit_breaker: 'b',
          instance: 'eu-1',
        },
        annotations: {
          summary: 'CostSim V2 circuit breaker re-enabled',
          description: `Re-enabled by: ann\nReason: ${said}`,
        },
        startsAt: '2026-03-10T12:00:00.000Z',
        endsAt: '2026-03-10T12:00:00.000Z',
      },
    ]);
  });
});
