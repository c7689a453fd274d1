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
  limits: [],
  overrides: [],
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
    expect(none).not.toMatch(/status=|risk|Crashed/);
  });

  it('adds the integrations of a day up, and says whether the days are the recount', () => {
    expect(renderTenant(report, null)).toContain(
      'day=2023-11-16  calls=38,732  tokens=52,901,070  errors=6  cost=$1,832.352',
    );
    expect(renderTenant(report, null)).toContain('Daily sums equal a recount');
    expect(renderTenant({ ...report, discrepancies: 2 }, null)).toContain('2 daily sums DIFFER');
  });
});
