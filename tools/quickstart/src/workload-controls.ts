import type { CreatePolicyLimitRequest } from '@hoc/controls/schemas';
import { HISTORY_END } from './workload-runs';

/** A tenant's part of the generated controls. */
export interface PlannedControls {
  readonly tenantId: string;
  readonly limits: readonly CreatePolicyLimitRequest[];
}

/** A charge against the budget: what is held back, and what it cost in the end; null while it is still held. */
export interface PlannedCharge {
  readonly key: string;
  readonly amountCents: string;
  readonly actualCents: string | null;
}

const HOUR_MS = 3_600_000;
const from = (hours: number): Date => new Date(HISTORY_END.getTime() + hours * HOUR_MS);

/** Names that tell the sample's limits from a tenant's own. */
export const BUDGET_NAME = 'Quickstart: monthly budget';
const THRESHOLD_NAME = 'Quickstart: what one run may use';

/** Three limits of each of three tenants; one agent of one tenant may use more than the others. */
export function generateControls(): readonly PlannedControls[] {
  return ['acme', 'globex', 'initech'].map((tenantId) => ({
    tenantId,
    limits: [
      {
        name: BUDGET_NAME,
        limitCategory: 'BUDGET',
        limitType: 'COST_CENTS',
        maxValue: '5000',
        resetPeriod: 'MONTHLY',
      },
      {
        name: 'Quickstart: requests a minute',
        limitCategory: 'RATE',
        limitType: 'REQUESTS_PER_MINUTE',
        maxValue: '60',
        windowSeconds: 60,
      },
      {
        name: THRESHOLD_NAME,
        limitCategory: 'THRESHOLD',
        limitType: 'TOKENS_PER_RUN',
        maxValue: '40000',
        params: { maxExecutionTimeMs: 300_000, maxTokens: 40_000, maxCostCents: '15' },
      },
      ...(tenantId === 'acme'
        ? [
            {
              name: `${THRESHOLD_NAME} (agent-2)`,
              limitCategory: 'THRESHOLD' as const,
              limitType: 'TOKENS_PER_RUN',
              scope: 'AGENT' as const,
              scopeId: 'agent-2',
              maxValue: '60000',
              params: { maxTokens: 60_000 },
            },
          ]
        : []),
    ],
  }));
}

/** One override of acme's budget through its life: asked for, approved, in effect, over. */
export const OVERRIDE = Object.freeze({
  tenantId: 'acme',
  overrideValue: '8000',
  durationHours: 2,
  reason: 'a campaign of the quickstart',
  requestedAt: from(1),
  approvedAt: from(1.5),
  startsAt: from(2),
  /** A charge that only the override has room for. */
  during: from(3),
  endedAt: from(4),
});

/** Charges on acme's budget before the override and during it. The third is refused before, and granted during it. */
export const CHARGES: Readonly<Record<'before' | 'during', readonly PlannedCharge[]>> = Object.freeze({
  before: [
    { key: 'quickstart-charge-1', amountCents: '3000', actualCents: '2875.25' },
    { key: 'quickstart-charge-2', amountCents: '2000', actualCents: '1999.999999' },
    { key: 'quickstart-charge-3', amountCents: '2500', actualCents: null },
  ],
  during: [{ key: 'quickstart-charge-3', amountCents: '2500', actualCents: '2400' }],
});

/** A run of acme that was stopped for its budget, and whose executor died before it wrote the decision. */
export const HALTED_RUN = Object.freeze({
  tenantId: 'acme',
  run: {
    id: 'quickstart-halted',
    agentId: 'agent-2',
    originSystemId: 'quickstart',
    goal: 'a generated run',
    isSynthetic: true,
    plan: { steps: ['search', 'read', 'compare', 'write'] },
  },
  startedAt: from(1),
  haltedAt: from(2),
  errorMessage: 'Hard budget limit reached: 5001.25c consumed >= 5000c limit',
});

/** What the simulator's second model drifts: thrice above the threshold of 0.2, on a breaker of the quickstart's own. */
export const DRIFT = Object.freeze({
  breaker: 'quickstart',
  scores: [0.12, 0.21, 0.3, 0.25],
  at: from(1),
  recoveredAt: from(26),
});
