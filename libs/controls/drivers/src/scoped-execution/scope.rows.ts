import { SCOPE_STATUSES } from '@hoc/controls/schemas';
import { fromPgNumeric } from '@hoc/shared/kernel';
import { storedValue } from '@hoc/shared/drivers';
import { BoundExecutionScope } from './bound-scope.rules';
import type { LogColumns, ScopeColumns } from './scope.query';

/** A stored scope, with its attempts in their order. */
export function toScope(row: ScopeColumns, log: readonly LogColumns[] | null = null): BoundExecutionScope {
  return new BoundExecutionScope({
    scopeId: row.id,
    tenantId: row.tenant_id,
    incidentId: row.incident_id,
    allowedActions: row.allowed_actions,
    maxCostCents: fromPgNumeric(row.max_cost_cents, 'maxCostCents'),
    maxAttempts: row.max_attempts,
    expiresAt: row.expires_at,
    intent: row.intent,
    targetAgents: row.target_agents,
    createdAt: row.created_at,
    createdBy: row.created_by,
    attemptsUsed: row.attempts_used,
    costUsedCents: fromPgNumeric(row.cost_used_cents, 'costUsedCents'),
    status: storedValue(row.status, SCOPE_STATUSES, 'status'),
    executionLog: (log ?? []).map(([attemptNumber, action, cents, at]) => ({
      action,
      costCents: fromPgNumeric(cents, 'costCents'),
      timestamp: new Date(at),
      attemptNumber,
    })),
  });
}
