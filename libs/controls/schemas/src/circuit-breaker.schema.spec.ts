import {
  CircuitBreakerIncident,
  CircuitBreakerState,
  circuitBreakerConfig,
  DEFAULT_CIRCUIT_BREAKER_CONFIG,
  Incident,
} from './circuit-breaker.schema';

const AT = new Date('2026-03-10T12:00:00.000Z');

describe('circuitBreakerConfig', () => {
  it('without changes is the frozen defaults', () => {
    expect(circuitBreakerConfig()).toBe(DEFAULT_CIRCUIT_BREAKER_CONFIG);
    expect(circuitBreakerConfig({})).toBe(DEFAULT_CIRCUIT_BREAKER_CONFIG);
    expect(DEFAULT_CIRCUIT_BREAKER_CONFIG).toEqual({
      driftThreshold: 0.2,
      driftWarningThreshold: 0.15,
      schemaErrorThreshold: 5,
      failureThreshold: 3,
      autoDisableEnabled: true,
      autoRecoverEnabled: true,
      defaultDisableTtlHours: 24,
      instanceId: 'hoc',
      runbookUrl: null,
    });
    expect(Object.isFrozen(DEFAULT_CIRCUIT_BREAKER_CONFIG)).toBe(true);
  });

  it('takes changes and keeps the rest', () => {
    const config = circuitBreakerConfig({ failureThreshold: 1000, runbookUrl: 'http://localhost/book' });
    expect(config).toEqual({
      ...DEFAULT_CIRCUIT_BREAKER_CONFIG,
      failureThreshold: 1000,
      runbookUrl: 'http://localhost/book',
    });
    expect(Object.isFrozen(config)).toBe(true);
  });

  it.each([
    [0.1, 0.1],
    [0, 0],
    [1, 0.15],
  ])('a drift threshold of %d alone warns above %d', (driftThreshold, driftWarningThreshold) => {
    expect(circuitBreakerConfig({ driftThreshold }).driftWarningThreshold).toBe(driftWarningThreshold);
  });

  it.each([
    ['driftThreshold', [-0.1, 1.1, Number.NaN, Infinity, '0.2', null]],
    ['driftWarningThreshold', [-0.1, 0.21, Number.NaN, '0.1', null]],
    ['schemaErrorThreshold', [0, 1_000_001, 1.5]],
    ['failureThreshold', [0, 1001, 1.5, '3']],
    ['autoDisableEnabled', [0, 'true', null]],
    ['autoRecoverEnabled', [1, 'false', null]],
    ['defaultDisableTtlHours', [-1, 8761, 0.5]],
    ['instanceId', ['', ' ', 'a'.repeat(101), 7]],
    ['runbookUrl', ['', 'runbook', 'javascript:alert(1)', 'https://', `https://x/${'a'.repeat(2048)}`, 5]],
  ])('refuses a bad %s', (field, values) => {
    for (const value of values)
      expect(() => circuitBreakerConfig({ [field]: value })).toThrow(
        expect.objectContaining({ code: 'INVALID_ARGUMENT', details: expect.objectContaining({ field }) }),
      );
  });

  it('refuses a member that no breaker has, and what is no object', () => {
    for (const changes of [{ failureTreshold: 3 }, { constructor: 1 }, JSON.parse('{"__proto__":1}') as object])
      expect(() => circuitBreakerConfig(changes)).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT' }));
    expect(() => circuitBreakerConfig(JSON.parse('[]') as object)).toThrow(
      expect.objectContaining({ code: 'INVALID_ARGUMENT' }),
    );
  });
});

describe('what a caller is given', () => {
  const state = new CircuitBreakerState({
    isOpen: true,
    openedAt: AT,
    reason: 'r',
    incidentId: 'i',
    consecutiveFailures: 3,
    lastFailureAt: AT,
    disabledUntil: null,
    disabledBy: 'ann',
  });
  const incident = new Incident({
    id: 'i',
    timestamp: AT,
    reason: 'r',
    severity: 'P1',
    driftScore: 0.25,
    sampleCount: 100,
    details: { a: [1] },
    resolved: true,
    resolvedAt: AT,
    resolvedBy: 'bob',
    resolutionNotes: null,
    alertSent: false,
    alertSentAt: null,
  });

  it('is immutable', () => {
    expect(Object.isFrozen(state)).toBe(true);
    expect(Object.isFrozen(incident)).toBe(true);
  });

  it('toDict of a state: the same names, instants as texts, absent as null', () => {
    expect(state.toDict()).toEqual({
      isOpen: true,
      openedAt: '2026-03-10T12:00:00.000Z',
      reason: 'r',
      incidentId: 'i',
      consecutiveFailures: 3,
      lastFailureAt: '2026-03-10T12:00:00.000Z',
      disabledUntil: null,
      disabledBy: 'ann',
    });
  });

  it('toDict of an incident: the same names, instants as texts, absent as null', () => {
    expect(incident.toDict()).toEqual({
      id: 'i',
      timestamp: '2026-03-10T12:00:00.000Z',
      reason: 'r',
      severity: 'P1',
      driftScore: 0.25,
      sampleCount: 100,
      details: { a: [1] },
      resolved: true,
      resolvedAt: '2026-03-10T12:00:00.000Z',
      resolvedBy: 'bob',
      resolutionNotes: null,
      alertSent: false,
      alertSentAt: null,
    });
    expect(JSON.parse(JSON.stringify(incident.toDict()))).toEqual(incident.toDict());
  });

  it('CircuitBreakerIncident is Incident', () => {
    expect(CircuitBreakerIncident).toBe(Incident);
  });
});
