import type { LimitOverrideResponse, OverrideStatus } from '@hoc/controls/schemas';
import type { DecimalString, IsoDate } from '@hoc/shared/kernel';
import { dollars, grouped } from './money';
import { renderTenant, type TenantReport } from './report';

const cents = (text: string) => text as DecimalString;
const day = (text: string) => text as IsoDate;
const figures = {
  totalCalls: 19_366,
  totalTokensIn: 22_361_870,
  totalTokensOut: 4_088_665,
  totalCostCents: cents('91617.6'),
};
/** What the report doesn't show of a limit. */
const unmeasured = {
  ...{ windowSeconds: null, integrityStatus: null, integrityScore: null, breachCount30d: 0, lastBreachedAt: null },
  createdAt: new Date('2023-11-16T00:00:00Z'),
};
const override = (status: OverrideStatus, expiresAt: Date | null): LimitOverrideResponse => ({
  ...{ overrideId: `o-${status}`, limitId: 'l-1', limitName: 'What a month may cost', tenantId: 'quickstart' },
  ...{ originalValue: cents('500000.5'), overrideValue: cents('800000'), effectiveValue: cents('800000') },
  ...{ inEffect: expiresAt !== null, status, requestedAt: new Date('2023-11-16T18:00:00Z'), expiresAt },
  ...{ approvedAt: null, startsAt: null, cancelledAt: null, approvedBy: null, cancelledBy: null, rejectedBy: null },
  ...{ requestedBy: 'ann', reason: 'a campaign of the day', rejectionReason: null },
});
const report: TenantReport = {
  summary: {
    tenantId: 'quickstart',
    fromDate: day('2023-11-16'),
    toDate: day('2023-11-17'),
    ...figures,
    avgLatencyMs: null,
    errorCount: 3,
    blockedCount: 0,
    byIntegration: [
      {
        integrationId: 'i',
        integrationName: 'a very long name of an integration that no narrow terminal holds',
        providerType: 'openai',
        totalCalls: 19_366,
        totalTokens: 26_450_535,
        totalCostCents: cents('91617.6'),
        errorCount: 3,
      },
    ],
  },
  models: [{ provider: 'azure_openai', model: 'gpt-4', ...figures, errorCount: 3 }],
  days: ['int-1', 'int-2'].map((integrationId) => ({
    date: day('2023-11-16'),
    integrationId,
    ...figures,
    latencyTotalMs: 0,
    latencyCount: 0,
    avgLatencyMs: null,
    errorCount: 3,
    blockedCount: 0,
  })),
  discrepancies: 0,
  statuses: {
    total: 3,
    statuses: [
      { status: 'succeeded', count: 2 },
      { status: 'failed', count: 1 },
    ],
  },
  atRisk: [
    {
      signalId: 'sig-1',
      signalFingerprint: '1',
      runId: 'run-1',
      signalType: 'policy_breach',
      severity: 'high',
      summary: '',
      policyContext: {} as never,
      createdAt: new Date('2023-11-16T18:15:46Z'),
      feedback: null,
    },
  ],
  limits: [
    {
      limitId: 'l-1',
      name: 'What a month may cost',
      limitCategory: 'BUDGET',
      limitType: 'COST_CENTS',
      ...{ scope: 'TENANT', scopeId: null, enforcement: 'BLOCK', status: 'ACTIVE', resetPeriod: 'MONTHLY' },
      maxValue: cents('500000.5'),
      window: {
        windowStart: new Date('2023-11-01T00:00:00Z'),
        capCents: cents('800000'),
        reservedCents: cents('0.000001'),
        spentCents: cents('91617.6'),
        remainingCents: cents('708382.399999'),
      },
      ...unmeasured,
    },
    {
      limitId: 'l-2',
      name: 'Tokens of a run',
      limitCategory: 'THRESHOLD',
      limitType: 'TOKENS_PER_RUN',
      ...{ scope: 'AGENT', scopeId: 'agent-2', enforcement: 'WARN', status: 'ACTIVE', resetPeriod: null },
      maxValue: cents('60000'),
      window: null,
      ...unmeasured,
    },
  ],
  overrides: [override('ACTIVE', new Date('2023-11-16T20:00:59Z')), override('PENDING', null)],
  crashes: [
    {
      runId: 'job-1',
      workerId: 'worker-1',
      tenantId: 'quickstart',
      createdAt: new Date('2023-11-16T18:15:46Z'),
      crashedAt: new Date('2023-11-16T19:00:00Z'),
      error: null,
    },
  ],
};

describe('money', () => {
  it('shows exact cents as dollars, and loses no digit', () => {
    expect(['91617.6', '0', '5', '0.000001', '123456789012.34', '100'].map((text) => dollars(cents(text)))).toEqual([
      '$916.176',
      '$0.00',
      '$0.05',
      '$0.00000001',
      '$1,234,567,890.1234',
      '$1.00',
    ]);
    expect([grouped(1), grouped(1000), grouped('12345678')]).toEqual(['1', '1,000', '12,345,678']);
  });
});

describe('renderTenant', () => {
  it.each([60, 80, 120])('fits a terminal of %i columns', (columns) => {
    const text = renderTenant(report, columns);
    const table = text.split('\n').filter((line) => /[│┌├└]/.test(line));
    expect(table.length).toBeGreaterThan(9);
    for (const line of table) expect(line.length).toBeLessThanOrEqual(columns);
    expect(text).toContain('$916.176');
  });

  it('is plain lines where there is no terminal, or one too narrow for the figures', () => {
    const usage = { ...report, statuses: { total: 0, statuses: [] }, atRisk: [], crashes: [] };
    for (const columns of [null, 30]) {
      const text = renderTenant(usage, columns);
      expect(text).not.toMatch(/[│┌├└]/);
      expect(text).toContain('model=azure_openai gpt-4  calls=19,366');
    }
  });

  it('shows runs by status, runs at risk and crashes; nothing of them where there are none', () => {
    const text = renderTenant(report, null);
    expect(text).toContain('status=succeeded  runs=2');
    expect(text).toContain('run=run-1  signal=policy_breach  severity=high  started (UTC)=2023-11-16 18:15');
    expect(text).toContain('run=job-1  worker=worker-1  created (UTC)=2023-11-16 18:15  marked (UTC)=2023-11-16 19:00');
    const none = renderTenant({ ...report, statuses: { total: 0, statuses: [] }, atRisk: [], crashes: [] }, null);
    expect(none).not.toMatch(/Runs by status|risk|Crashed/);
  });

  it('shows limits in their unit, budgets exactly, and overrides with their end', () => {
    const lines = renderTenant(report, null).split('\n');
    const shown = lines.slice(lines.indexOf('Limits'));
    expect(shown).toEqual([
      'Limits',
      '  limit=What a month may cost  category=BUDGET  type=COST_CENTS  value=$5,000.005  enforcement=BLOCK',
      '  limit=Tokens of a run  category=THRESHOLD  type=TOKENS_PER_RUN  value=60000  enforcement=WARN',
      'Budgets at the end of the range',
      '  budget=What a month may cost  since (UTC)=2023-11-01 00:00  cap=$8,000.00  reserved=$0.00000001  spent=$916.176  remaining=$7,083.82399999',
      'Newest overrides',
      '  limit=What a month may cost  from=500000.5  to=800000  status=ACTIVE  until (UTC)=2023-11-16 20:00',
      '  limit=What a month may cost  from=500000.5  to=800000  status=PENDING  until (UTC)=',
    ]);
  });

  it('shows no budgets where no limit has a window, and nothing of controls where there are no limits', () => {
    const limits = report.limits.map((limit) => ({ ...limit, window: null }));
    expect(renderTenant({ ...report, limits }, null)).not.toContain('Budgets');
    expect(renderTenant({ ...report, limits: [], overrides: [] }, null)).not.toMatch(/Limits|Budgets|overrides/);
  });

  it('adds the integrations of a day up, and says whether the days are the recount', () => {
    expect(renderTenant(report, null)).toContain(
      'day=2023-11-16  calls=38,732  tokens=52,901,070  errors=6  cost=$1,832.352',
    );
    expect(renderTenant(report, null)).toContain('Daily sums equal a recount');
    expect(renderTenant({ ...report, discrepancies: 2 }, null)).toContain('2 daily sums DIFFER');
  });
});
