import type { AttentionQueueResult, EvaluationRule } from '@hoc/activity/schemas';
import { assertInt, deepFreeze, invalid, PAGE_LIMIT_MAX } from '@hoc/shared/kernel';
import type { FacadeDeps, ReadDriver } from './activity-facade.engine';
import {
  ATTENTION_CANDIDATES_MAX,
  ATTENTION_WINDOW_HOURS,
  type AttentionCandidate,
  rankByAttention,
} from './attention-ranking.engine';
import { type AttentionQuery, only } from './facade-query.engine';
import { toSignal } from './signal-projection.engine';

const LIMIT_DEFAULT = 20;
const LIMIT_MAX = 100;
const KEYS = ['limit', 'minScore', 'projectId'];

/** The newest signals of the window, ranked by how much each needs somebody. */
export async function attentionQueue(
  driver: Pick<ReadDriver, 'fetchAtRiskRuns'>,
  { clock }: FacadeDeps,
  tenantId: string,
  query: AttentionQuery,
  rule: EvaluationRule,
): Promise<AttentionQueueResult> {
  const { limit, minScore, projectId } = checked(query);
  const now = clock.now();
  const filter = {
    ...(projectId === undefined ? {} : { projectId }),
    startedFrom: new Date(now.getTime() - ATTENTION_WINDOW_HOURS * 3_600_000),
    startedTo: new Date(now.getTime() + 1),
  };
  const candidates: AttentionCandidate[] = [];
  let cursor: string | null = null;
  do {
    const limitLeft = Math.min(PAGE_LIMIT_MAX, ATTENTION_CANDIDATES_MAX - candidates.length);
    const request: { limit: number; cursor?: string } = { limit: limitLeft, ...(cursor === null ? {} : { cursor }) };
    const page = await driver.fetchAtRiskRuns(tenantId, filter, request, rule);
    candidates.push(...page.items.map((row) => ({ signal: toSignal(row), riskLevel: row.riskLevel })));
    cursor = page.nextCursor;
  } while (cursor !== null && candidates.length < ATTENTION_CANDIDATES_MAX);
  const items = rankByAttention(candidates, { now, minScore, limit });
  return deepFreeze({ items, generatedAt: now, considered: candidates.length });
}

function checked(query: AttentionQuery): { limit: number; minScore: number; projectId: string | undefined } {
  const { limit = LIMIT_DEFAULT, minScore = 0, projectId } = only(query, KEYS);
  if (typeof minScore !== 'number' || !(minScore >= 0 && minScore <= 1))
    throw invalid('minScore', 'range', 'minScore must be a number from 0 to 1');
  return { limit: assertInt(limit, 'limit', 1, LIMIT_MAX), minScore, projectId };
}
