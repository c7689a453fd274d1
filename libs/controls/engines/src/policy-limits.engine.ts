import type { PolicyLimitsDriver } from '@hoc/controls/drivers';
import {
  ACTOR_MAX,
  assertLimitType,
  CreatePolicyLimitRequest,
  IMMUTABLE_LIMIT_FIELDS,
  ImmutableFieldError,
  type LimitAuditEntry,
  type LimitAuditSink,
  type LimitAuditState,
  type LimitCategory,
  LimitNotFoundError,
  type LimitPatch,
  type LimitRecord,
  type LimitScope,
  limitUnit,
  LimitValidationError,
  type PolicyLimitResponse,
  REFUSED_LIMIT_TYPE,
  refuseDollarParams,
  toStoredParams,
  UpdatePolicyLimitRequest,
} from '@hoc/controls/schemas';
import { assertId, assertTenantId, deepFreeze, invalid, toMoney, validateOrThrow } from '@hoc/shared/kernel';

/** What the service needs of the driver. */
export type LimitsDriver = Pick<
  PolicyLimitsDriver,
  'fetchLimitById' | 'createLimit' | 'updateLimit' | 'disableLimit' | 'addMissingIntegrity'
>;

/** The service on a driver of one unit of work. */
export function getPolicyLimitsService(driver: LimitsDriver, audit?: LimitAuditSink): PolicyLimitsService {
  return new PolicyLimitsService(driver, audit);
}

/** Fields whose presence the category, or the scope, decides. */
export type CategoryFields = Pick<
  CreatePolicyLimitRequest,
  'scopeId' | 'consequence' | 'resetPeriod' | 'windowSeconds' | 'measurementWindowSeconds' | 'params'
> & { readonly limitCategory: LimitCategory; readonly scope?: LimitScope };

/**
 * What a policy page does with limits. With an audit sink each change is written down in the transaction of the change, and an
 * error of the sink fails it: call it inside a transaction then.
 *
 * @see spec controls E.7
 */
export class PolicyLimitsService {
  constructor(
    private readonly driver: LimitsDriver,
    private readonly audit?: LimitAuditSink,
  ) {}

  /**
   * Makes a limit, verified from the start. The name is trimmed.
   * @throws InvalidArgumentError with `details.fields`; for COST_USD its message names COST_CENTS; LimitValidationError for
   * fields that don't go together; NotFoundError for an unknown tenant
   */
  async create(tenantId: string, request: CreatePolicyLimitRequest, createdBy?: string): Promise<PolicyLimitResponse> {
    const tenant = assertTenantId(tenantId);
    const author = actor(createdBy);
    if (isObject(request) && request.limitType === REFUSED_LIMIT_TYPE) assertLimitType(request.limitType);
    if (isObject(request)) refuseDollarParams(request.params);
    const limit = validateOrThrow(CreatePolicyLimitRequest, trimmed(request));
    validateCategoryFields(limit);
    const record = await this.driver.createLimit(tenant, {
      name: limit.name,
      description: limit.description ?? null,
      limitCategory: limit.limitCategory,
      limitType: limit.limitType,
      scope: limit.scope ?? 'TENANT',
      scopeId: limit.scopeId ?? null,
      maxValue: toMoney(limit.maxValue, 'maxValue'),
      resetPeriod: limit.resetPeriod ?? null,
      windowSeconds: limit.windowSeconds ?? null,
      measurementWindowSeconds: limit.measurementWindowSeconds ?? null,
      params: toStoredParams(limit.params ?? {}),
      enforcement: limit.enforcement ?? 'BLOCK',
      consequence: limit.consequence ?? null,
      createdBy: author,
    });
    await this.audit?.limitCreated(entry(record, author, 'limit created', { after: auditState(record) }));
    return toPolicyLimitResponse(record);
  }

  /**
   * Changes what is given. A limit that becomes active and was never verified is VERIFIED, 1 from then on.
   * @throws ImmutableFieldError for category, type, scope or scopeId; InvalidArgumentError for a bad or empty request;
   * LimitNotFoundError; LimitValidationError for a field that the limit's category doesn't have; ConflictError with
   * `details.currentVersion` where `expectedVersion` isn't the stored one
   */
  async update(
    tenantId: string,
    limitId: string,
    request: UpdatePolicyLimitRequest,
    updatedBy?: string,
  ): Promise<PolicyLimitResponse> {
    const tenant = assertTenantId(tenantId);
    const limit = assertId(limitId, 'limitId');
    const author = actor(updatedBy);
    if (isObject(request)) {
      const fixed = IMMUTABLE_LIMIT_FIELDS.find((field) => Object.hasOwn(request, field));
      if (fixed !== undefined) throw new ImmutableFieldError(fixed);
      refuseDollarParams(request.params);
    }
    const { expectedVersion, ...changes } = validateOrThrow(UpdatePolicyLimitRequest, trimmed(request));
    if (Object.values(changes).every((value) => value === undefined))
      throw invalid('request', 'empty', 'an update must change something');
    const stored = await this.driver.fetchLimitById(tenant, limit);
    if (stored === null) throw new LimitNotFoundError(limit);
    fitsCategory(stored.limitCategory, changes);
    const change = await this.driver.updateLimit(tenant, limit, toPatch(changes, author), expectedVersion);
    if (change === null) throw new LimitNotFoundError(limit);
    if (changes.status === 'ACTIVE') await this.driver.addMissingIntegrity(tenant, limit);
    const { before, after } = change;
    const states = { before: auditState(before), after: auditState(after) };
    await this.audit?.limitUpdated(entry(after, author, 'limit updated', states));
    return toPolicyLimitResponse(after);
  }

  /**
   * Ends a limit; one that has ended already stays as it is, and nothing is written. Its history stays.
   * @throws LimitNotFoundError
   */
  async delete(tenantId: string, limitId: string, deletedBy?: string): Promise<void> {
    const tenant = assertTenantId(tenantId);
    const limit = assertId(limitId, 'limitId');
    const author = actor(deletedBy);
    const change = await this.driver.disableLimit(tenant, limit, author);
    if (change === null) {
      if ((await this.driver.fetchLimitById(tenant, limit)) === null) throw new LimitNotFoundError(limit);
      return;
    }
    const { before, after } = change;
    const states = { before: auditState(before), after: auditState(after) };
    await this.audit?.limitDisabled(entry(after, author, 'limit disabled', states));
  }

  /** @throws LimitNotFoundError */
  async get(tenantId: string, limitId: string): Promise<PolicyLimitResponse> {
    const tenant = assertTenantId(tenantId);
    const record = await this.driver.fetchLimitById(tenant, assertId(limitId, 'limitId'));
    if (record === null) throw new LimitNotFoundError(limitId);
    return toPolicyLimitResponse(record);
  }

  /** {@link validateCategoryFields}. */
  validateCategoryFields(request: CategoryFields): void {
    validateCategoryFields(request);
  }
}

/**
 * Whether the fields go together: BUDGET has a resetPeriod and RATE a windowSeconds, which no other category has;
 * consequence, measurementWindowSeconds and params are for THRESHOLD; scopeId is for PROJECT, AGENT and PROVIDER. Pure.
 * @throws LimitValidationError naming the first field that is missing or out of place
 */
export function validateCategoryFields(request: CategoryFields): void {
  const { limitCategory, scope = 'TENANT' } = request;
  const scoped = scope !== 'GLOBAL' && scope !== 'TENANT';
  needs(request.scopeId !== undefined, scoped, 'scopeId', `a limit of scope ${scope}`);
  needs(request.resetPeriod !== undefined, limitCategory === 'BUDGET', 'resetPeriod', `a ${limitCategory} limit`);
  needs(request.windowSeconds !== undefined, limitCategory === 'RATE', 'windowSeconds', `a ${limitCategory} limit`);
  if (limitCategory === 'THRESHOLD') return;
  for (const field of THRESHOLD_FIELDS)
    if (request[field] !== undefined) throw outOfPlace(field, `a ${limitCategory} limit`);
}

/** The limit as an API shows it, with its unit. */
export function toPolicyLimitResponse(record: LimitRecord): PolicyLimitResponse {
  // Columns that are kept for other writers, or for an audit, are no part of the answer.
  const { nextResetAt: _nextResetAt, updatedBy: _updatedBy, ...shown } = record;
  return deepFreeze({ ...shown, unit: limitUnit(record.limitType) });
}

const THRESHOLD_FIELDS = ['consequence', 'measurementWindowSeconds', 'params'] as const;
const FIELDS_OF: Readonly<Record<'resetPeriod' | 'windowSeconds' | 'params', LimitCategory>> = Object.freeze({
  resetPeriod: 'BUDGET',
  windowSeconds: 'RATE',
  params: 'THRESHOLD',
});

function fitsCategory(category: LimitCategory, changes: Omit<UpdatePolicyLimitRequest, 'expectedVersion'>): void {
  for (const field of ['resetPeriod', 'windowSeconds', 'params'] as const)
    if (changes[field] !== undefined && FIELDS_OF[field] !== category) throw outOfPlace(field, `a ${category} limit`);
}

function needs(given: boolean, needed: boolean, field: string, of: string): void {
  if (given && !needed) throw outOfPlace(field, of);
  if (!given && needed) throw new LimitValidationError(field, 'required', `${of} needs ${field}`);
}

const outOfPlace = (field: string, of: string): LimitValidationError =>
  new LimitValidationError(field, 'forbidden', `${of} has no ${field}`);

function toPatch(changes: Omit<UpdatePolicyLimitRequest, 'expectedVersion'>, updatedBy: string | null): LimitPatch {
  const { maxValue, params, ...rest } = changes;
  return {
    ...rest,
    ...(maxValue === undefined ? {} : { maxValue: toMoney(maxValue, 'maxValue') }),
    ...(params === undefined ? {} : { params: toStoredParams(params) }),
    updatedBy,
  };
}

const auditState = ({
  name,
  maxValue,
  enforcement,
  status,
  resetPeriod,
  windowSeconds,
}: LimitRecord): LimitAuditState => Object.freeze({ name, maxValue, enforcement, status, resetPeriod, windowSeconds });

function entry(
  { tenantId, limitId }: LimitRecord,
  actorId: string | null,
  reason: string,
  states: Pick<LimitAuditEntry, 'before' | 'after'>,
): LimitAuditEntry {
  return Object.freeze({
    tenantId,
    limitId,
    actorId,
    actorType: actorId === null ? 'SYSTEM' : 'HUMAN',
    reason,
    ...states,
  });
}

const actor = (by: string | undefined): string | null => (by === undefined ? null : assertId(by, 'actor', ACTOR_MAX));
const isObject = (value: unknown): value is CreatePolicyLimitRequest => typeof value === 'object' && value !== null;

function trimmed<T extends { name?: string }>(request: T): T {
  return isObject(request) && typeof request.name === 'string' ? { ...request, name: request.name.trim() } : request;
}
