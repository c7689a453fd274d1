import type { LimitsReadDriver } from '@hoc/controls/drivers';
import {
  type ApplyingLimit,
  type ApplyingLimitsFilter,
  type LimitCheckContext,
  type LimitCheckKind,
  LimitCheckRequest,
  type LimitCheckResponse,
  type LimitCheckResult,
  type MessageCode,
  type OverridesInEffectPort,
  type SimulationDecision,
} from '@hoc/controls/schemas';
import {
  addDecimal,
  assertTenantId,
  compareDecimal,
  type DecimalString,
  deepFreeze,
  divideDecimal,
  multiplyDecimal,
  noopLogger,
  type ReadDeps,
  subtractDecimal,
  toDecimalString,
  toMoney,
  UnavailableError,
  validateOrThrow,
  ZERO_DECIMAL,
} from '@hoc/shared/kernel';

/** From which part of a limit on it is said to be approached. */
const NEAR = toDecimalString('0.8');
const HUNDRED = toDecimalString(100);

/**
 * Whether something may happen, asked before it does: every limit of the kind that applies is compared with what is used
 * and what is estimated, and the worst answer counts. Reads only, decides by the limits and overrides as they stand; it
 * reserves nothing. The limits are of one statement, their overrides of the next. Checks and warnings are ordered by limit
 * id. The answer is frozen.
 */
export class LimitCheckEngine {
  constructor(
    private readonly limits: Pick<LimitsReadDriver, 'fetchApplyingLimits'>,
    private readonly overrides: OverridesInEffectPort,
    private readonly deps: ReadDeps,
  ) {}

  /**
   * The decision. A database that doesn't answer blocks, with reason UNAVAILABLE: it is no error of this call. Inside a
   * transaction the failure has ended that one as well, and its commit says so: `ControlsGuards` is for this.
   * @throws TenantScopeError, InvalidArgumentError for a bad request
   * @throws DataIntegrityError reason `too_many` where more than 1,000 limits apply: no part of them decides
   */
  async check(tenantId: string, request: LimitCheckRequest): Promise<LimitCheckResponse> {
    const tenant = assertTenantId(tenantId);
    const asked = toQuestion(validateOrThrow(LimitCheckRequest, request));
    try {
      const { context } = asked;
      const applying = await this.limits.fetchApplyingLimits(tenant, { ...KINDS[asked.kind], context });
      const overrides = await this.overridesOf(tenant, applying);
      return toResponse(applying.map((limit) => checkOf(limit, asked, overrides.get(limit.limitId))));
    } catch (error) {
      if (!UnavailableError.is(error)) throw error;
      (this.deps.logger ?? noopLogger).warn('limit_check_unavailable', { kind: asked.kind });
      return LIMIT_CHECK_UNAVAILABLE;
    }
  }

  private async overridesOf(
    tenantId: string,
    limits: readonly ApplyingLimit[],
  ): Promise<ReadonlyMap<string, Override>> {
    if (limits.length === 0) return new Map();
    // No more limits apply than one question for overrides takes.
    const ids = limits.map(({ limitId }) => limitId);
    return this.overrides.fetchOverridesInEffect(tenantId, ids);
  }
}

/** A checked request, of which the caller's own changes change nothing. */
interface Question {
  readonly kind: LimitCheckKind;
  readonly estimated: DecimalString;
  readonly used: ReadonlyMap<string, DecimalString>;
  readonly context: LimitCheckContext;
}

const toQuestion = ({ kind, estimated, currentUsage = {}, context = {} }: LimitCheckRequest): Question => ({
  kind,
  estimated: toMoney(estimated, 'estimated'),
  used: new Map(Object.entries(currentUsage).map(([id, amount]) => [id, toMoney(amount, 'currentUsage')])),
  context,
});

interface Override {
  readonly overrideId: string;
  readonly overrideValue: DecimalString;
}

const KINDS: Readonly<Record<LimitCheckKind, Pick<ApplyingLimitsFilter, 'category' | 'typePrefix'>>> = Object.freeze({
  cost: Object.freeze({ category: 'BUDGET', typePrefix: 'COST_' }),
  tokens: Object.freeze({ category: 'RATE', typePrefix: 'TOKENS_' }),
  requests: Object.freeze({ category: 'RATE', typePrefix: 'REQUESTS_' }),
});

function checkOf(limit: ApplyingLimit, asked: Question, override: Override | undefined): LimitCheckResult {
  const { limitId, limitType, name, enforcement, maxValue } = limit;
  // A limit that was raised above its override since stands as it is: an override never makes it worse.
  const raised = override !== undefined && compareDecimal(override.overrideValue, maxValue) > 0;
  const limitValue = raised ? override.overrideValue : maxValue;
  const currentValue = asked.used.get(limitId) ?? ZERO_DECIMAL;
  const projectedValue = addDecimal(currentValue, asked.estimated);
  return {
    limitId,
    limitType,
    limitName: name,
    currentValue,
    limitValue,
    projectedValue,
    enforcement,
    ...verdict(limit, asked.kind, projectedValue, limitValue),
    overrideId: raised ? override.overrideId : null,
  };
}

function verdict(
  { enforcement, resetPeriod }: ApplyingLimit,
  kind: LimitCheckKind,
  projected: DecimalString,
  limit: DecimalString,
): Pick<LimitCheckResult, 'decision' | 'messageCode'> {
  if (compareDecimal(projected, limit) > 0) {
    const warns = enforcement === 'WARN' || enforcement === 'ALERT';
    return { decision: warns ? 'WARN' : 'BLOCK', messageCode: exceeded(kind, resetPeriod) };
  }
  if (compareDecimal(projected, multiplyDecimal(limit, NEAR)) > 0)
    return { decision: 'WARN', messageCode: 'LIMIT_APPROACHING' };
  return { decision: 'ALLOW', messageCode: null };
}

function exceeded(kind: LimitCheckKind, resetPeriod: ApplyingLimit['resetPeriod']): MessageCode {
  if (kind !== 'cost') return 'RATE_LIMIT_EXCEEDED';
  if (resetPeriod === 'DAILY') return 'DAILY_COST_BUDGET_EXCEEDED';
  return resetPeriod === 'MONTHLY' ? 'MONTHLY_COST_BUDGET_EXCEEDED' : 'POLICY_LIMIT_BREACHED';
}

function toResponse(checks: readonly LimitCheckResult[]): LimitCheckResponse {
  const blocking = checks.filter(({ decision }) => decision === 'BLOCK').sort(byRoom)[0];
  const warnings = checks.flatMap(({ decision, limitId, limitType, messageCode, projectedValue, limitValue }) =>
    decision === 'WARN' && messageCode !== null
      ? [{ limitId, limitType, messageCode, currentPercent: percentOf(projectedValue, limitValue) }]
      : [],
  );
  return deepFreeze({
    decision: worst(blocking !== undefined, warnings.length > 0),
    blockingLimitId: blocking?.limitId ?? null,
    blockingLimitType: blocking?.limitType ?? null,
    blockingMessageCode: blocking?.messageCode ?? null,
    warnings,
    headroom: headroomOf(checks),
    checks,
    overridesApplied: checks.flatMap(({ overrideId }) => overrideId ?? []),
    reason: checks.length === 0 ? 'NO_LIMITS' : 'EVALUATED',
  });
}

/** What a check says while the database can't be asked. */
export const LIMIT_CHECK_UNAVAILABLE: LimitCheckResponse = deepFreeze({
  decision: 'BLOCK',
  blockingLimitId: null,
  blockingLimitType: null,
  blockingMessageCode: null,
  warnings: [],
  headroom: null,
  checks: [],
  overridesApplied: [],
  reason: 'UNAVAILABLE',
});

function worst(blocks: boolean, warns: boolean): SimulationDecision {
  if (blocks) return 'BLOCK';
  return warns ? 'WARN' : 'ALLOW';
}

/** The least room first; of equals the smaller id, in byte order as everywhere. */
function byRoom(a: LimitCheckResult, b: LimitCheckResult): number {
  const [left, right] = [a, b].map((check) => subtractDecimal(check.limitValue, check.projectedValue));
  const order = compareDecimal(left ?? ZERO_DECIMAL, right ?? ZERO_DECIMAL);
  return order === 0 ? Buffer.compare(Buffer.from(a.limitId), Buffer.from(b.limitId)) : order;
}

function headroomOf(checks: readonly LimitCheckResult[]): DecimalString | null {
  const rooms = checks.map(({ limitValue, currentValue }) => subtractDecimal(limitValue, currentValue));
  const [first, ...others] = rooms;
  if (first === undefined) return null;
  const least = others.reduce((a, b) => (compareDecimal(b, a) < 0 ? b : a), first);
  return compareDecimal(least, ZERO_DECIMAL) < 0 ? ZERO_DECIMAL : least;
}

/** Half up to 2 decimals. */
const percentOf = (value: DecimalString, of: DecimalString): number | null =>
  of === ZERO_DECIMAL ? null : Number(divideDecimal(multiplyDecimal(value, HUNDRED), of, 2));
