import type { FileResult } from './import-file';
import { renderTenant, type TenantReport } from './report';
import type { WorkloadResult } from './run-workload';

/** Where words and figures go: figures to standard output, everything else to standard error. */
export interface Output {
  readonly columns: number | null;
  readonly json: boolean;
  readonly stdout: (text: string) => void;
  readonly stderr: (text: string) => void;
}

/** Bound to the process; `columns` is null where standard output is no terminal. */
export function processOutput(json: boolean): Output {
  return {
    columns: process.stdout.isTTY ? (process.stdout.columns ?? 80) : null,
    json,
    stdout: (text) => void process.stdout.write(text),
    stderr: (text) => void process.stderr.write(text),
  };
}

/** One file's report: a JSON object on one line, or text. */
export function printFile(result: FileResult, output: Output): void {
  const { file, report, tenants } = result;
  if (output.json) return output.stdout(`${JSON.stringify({ file, ...report, readBack: tenants.map(totalsOf) })}\n`);
  const { accepted, duplicates, rejected, blank, linesRead } = report;
  const counts = `${linesRead} lines: ${accepted} accepted, ${duplicates} duplicates, ${rejected} rejected, ${blank} blank`;
  const unchanged = accepted === 0 && duplicates > 0 ? ' Nothing changed: every call was there already.' : '';
  output.stdout(`\n${file}: ${counts}.${unchanged}\n`);
  printTenants(tenants, output);
}

/** The generated workload's report. */
export function printWorkload({ accepted, duplicates, runs, controls, tenants }: WorkloadResult, output: Output): void {
  const readBack = tenants.map(totalsOf);
  if (output.json)
    return output.stdout(`${JSON.stringify({ file: null, accepted, duplicates, runs, controls, readBack })}\n`);
  const unchanged = accepted === 0 && runs.created === 0 ? ' Nothing changed: every call was there already.' : '';
  output.stdout(`\nGenerated workload: ${accepted} accepted, ${duplicates} duplicates.${unchanged}\n`);
  output.stdout(
    `Runs: ${runs.created} recorded, ${runs.duplicates} there already; ${runs.recovered} dead worker runs marked crashed; ${runs.raised} runs at a higher risk.\n`,
  );
  const { limits, signalled, charges, haltsDecided, breakerTripped, breakerRecovered } = controls;
  output.stdout(
    `Controls: ${limits} limits made; ${charges.granted} charges granted, ${charges.refused} refused, ${charges.duplicates} there already; ${signalled} runs crossed a threshold; ${haltsDecided} budget halts decided.\n`,
  );
  if (breakerTripped)
    output.stdout(`Circuit breaker: tripped${breakerRecovered ? ', and recovered when its time was over' : ''}.\n`);
  printTenants(tenants, output);
}

function printTenants(tenants: readonly TenantReport[], output: Output): void {
  for (const tenant of tenants) output.stdout(`\n${renderTenant(tenant, output.columns)}\n`);
}

const totalsOf = ({ summary, discrepancies, statuses, atRisk, crashes, limits, overrides }: TenantReport) => ({
  tenantId: summary.tenantId,
  calls: summary.totalCalls,
  tokensIn: summary.totalTokensIn,
  tokensOut: summary.totalTokensOut,
  costCents: summary.totalCostCents,
  discrepancies,
  ...(statuses.total === 0 ? {} : runsOf({ statuses, atRisk, crashes })),
  ...(limits.length === 0 ? {} : controlsOf({ limits, overrides })),
});

/** Of a tenant that has runs. */
const runsOf = ({ statuses, atRisk, crashes }: Pick<TenantReport, 'statuses' | 'atRisk' | 'crashes'>) => ({
  runs: Object.fromEntries(statuses.statuses.map(({ status, count }) => [status, count])),
  atRisk: atRisk.map(({ runId, signalType, severity }) => ({ runId, signalType, severity })),
  crashed: crashes.map(({ runId }) => runId),
});

/** Of a tenant that has limits. */
const controlsOf = ({ limits, overrides }: Pick<TenantReport, 'limits' | 'overrides'>) => ({
  limits: limits.map(({ name, limitCategory, maxValue, window }) => ({
    name,
    limitCategory,
    maxValue,
    ...(window === null ? {} : { reservedCents: window.reservedCents, spentCents: window.spentCents }),
  })),
  overrides: overrides.map(({ limitName, overrideValue, status }) => ({ limitName, overrideValue, status })),
});
