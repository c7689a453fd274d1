import {
  type CreatePolicyLimitRequest,
  ImmutableFieldError,
  type LimitAuditEntry,
  type LimitAuditSink,
  type LimitChange,
  LimitNotFoundError,
  type LimitPatch,
  type LimitRecord,
  LimitValidationError,
  type NewLimit,
  PolicyLimitsServiceError,
  type UpdatePolicyLimitRequest,
} from '@hoc/controls/schemas';
import { type DecimalString, InvalidArgumentError, TenantScopeError } from '@hoc/shared/kernel';
import { getPolicyLimitsService, type LimitsDriver, type PolicyLimitsService } from './policy-limits.engine';

const AT = new Date('2026-03-10T12:00:00.000Z');
const BUDGET: CreatePolicyLimitRequest = {
  name: 'Budget',
  limitCategory: 'BUDGET',
  limitType: 'COST_CENTS',
  maxValue: '500000',
  resetPeriod: 'MONTHLY',
};
const RATE: CreatePolicyLimitRequest = {
  name: 'Rate',
  limitCategory: 'RATE',
  limitType: 'REQUESTS_PER_MINUTE',
  maxValue: '60',
  windowSeconds: 60,
};
const THRESHOLD: CreatePolicyLimitRequest = {
  name: 'Threshold',
  limitCategory: 'THRESHOLD',
  limitType: 'TOKENS_PER_RUN',
  maxValue: '8192',
};
const bad = (value: unknown): never => value as never;

/** One tenant's limits in memory, and what was asked of them. */
class Limits implements LimitsDriver {
  readonly stored = new Map<string, LimitRecord>();
  readonly created: NewLimit[] = [];
  readonly patches: LimitPatch[] = [];
  readonly verified: string[] = [];

  async fetchLimitById(tenantId: string, limitId: string): Promise<LimitRecord | null> {
    const limit = this.stored.get(limitId);
    return limit?.tenantId === tenantId ? limit : null;
  }
  async createLimit(tenantId: string, limit: NewLimit): Promise<LimitRecord> {
    this.created.push(limit);
    const { id = `limit-${this.created.length}`, ...rest } = limit;
    return this.keep({
      ...rest,
      limitId: id,
      tenantId,
      nextResetAt: null,
      status: 'ACTIVE',
      version: 1,
      updatedBy: null,
      createdAt: AT,
      updatedAt: AT,
    });
  }
  async updateLimit(tenantId: string, limitId: string, patch: LimitPatch): Promise<LimitChange | null> {
    const before = await this.fetchLimitById(tenantId, limitId);
    if (before === null) return null;
    this.patches.push(patch);
    const changed = Object.fromEntries(Object.entries(patch).filter(([, value]) => value !== undefined));
    return { before, after: this.keep({ ...before, ...changed, version: before.version + 1 }) };
  }
  async disableLimit(tenantId: string, limitId: string): Promise<LimitChange | null> {
    const before = await this.fetchLimitById(tenantId, limitId);
    if (before?.status !== 'ACTIVE') return null;
    return { before, after: this.keep({ ...before, status: 'DISABLED', version: before.version + 1 }) };
  }
  async addMissingIntegrity(_tenantId: string, limitId: string): Promise<boolean> {
    this.verified.push(limitId);
    return true;
  }
  private keep(limit: LimitRecord): LimitRecord {
    this.stored.set(limit.limitId, limit);
    return limit;
  }
}

class Audit implements LimitAuditSink {
  readonly entries: (LimitAuditEntry & { readonly kind: string })[] = [];
  limitCreated = async (entry: LimitAuditEntry): Promise<void> => this.keep('created', entry);
  limitUpdated = async (entry: LimitAuditEntry): Promise<void> => this.keep('updated', entry);
  limitDisabled = async (entry: LimitAuditEntry): Promise<void> => this.keep('disabled', entry);
  private keep(kind: string, entry: LimitAuditEntry): void {
    this.entries.push({ kind, ...entry });
  }
}

let limits: Limits;
let audit: Audit;
let service: PolicyLimitsService;
beforeEach(() => {
  limits = new Limits();
  audit = new Audit();
  service = getPolicyLimitsService(limits, audit);
});
const refusal = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => 'passed',
    (error: unknown) => error,
  );

describe('create', () => {
  it('fills the defaults, trims the name and answers with the unit, without columns of other writers', async () => {
    const made = await service.create('t1', { ...BUDGET, name: '  Budget ', maxValue: '500000.50' }, 'ann');
    expect(limits.created).toEqual([
      {
        name: 'Budget',
        description: null,
        limitCategory: 'BUDGET',
        limitType: 'COST_CENTS',
        scope: 'TENANT',
        scopeId: null,
        maxValue: '500000.5',
        resetPeriod: 'MONTHLY',
        windowSeconds: null,
        measurementWindowSeconds: null,
        params: {},
        enforcement: 'BLOCK',
        consequence: null,
        createdBy: 'ann',
      },
    ]);
    expect(made).toMatchObject({ limitId: 'limit-1', unit: 'cents', version: 1, createdBy: 'ann' });
    expect(Object.keys(made)).not.toContain('nextResetAt');
    expect(Object.isFrozen(made)).toBe(true);
  });
  it('stores thresholds under the stored keys, in cents', async () => {
    await service.create('t1', { ...THRESHOLD, params: { maxTokens: 9000, maxCostCents: '29.00' } });
    expect(limits.created[0]?.params).toEqual({ max_tokens: 9000, max_cost_cents: '29' });
  });
  it('writes the audit with what was made', async () => {
    await service.create('t1', RATE, 'ann');
    await service.create('t1', RATE);
    expect(audit.entries).toEqual([
      {
        kind: 'created',
        tenantId: 't1',
        limitId: 'limit-1',
        actorId: 'ann',
        actorType: 'HUMAN',
        reason: 'limit created',
        after: {
          name: 'Rate',
          maxValue: '60',
          enforcement: 'BLOCK',
          status: 'ACTIVE',
          resetPeriod: null,
          windowSeconds: 60,
        },
      },
      expect.objectContaining({ actorId: null, actorType: 'SYSTEM' }),
    ]);
  });
  it('an audit that fails fails the call', async () => {
    audit.limitCreated = () => Promise.reject(new InvalidArgumentError('the audit is full'));
    expect(await refusal(service.create('t1', RATE))).toMatchObject({ message: 'the audit is full' });
  });
  it.each<[string, object, 'required' | 'forbidden']>([
    ['resetPeriod', { ...BUDGET, resetPeriod: undefined }, 'required'],
    ['resetPeriod', { ...RATE, resetPeriod: 'DAILY' }, 'forbidden'],
    ['resetPeriod', { ...THRESHOLD, resetPeriod: 'NONE' }, 'forbidden'],
    ['windowSeconds', { ...RATE, windowSeconds: undefined }, 'required'],
    ['windowSeconds', { ...BUDGET, windowSeconds: 60 }, 'forbidden'],
    ['scopeId', { ...BUDGET, scope: 'AGENT' }, 'required'],
    ['scopeId', { ...BUDGET, scope: 'PROJECT' }, 'required'],
    ['scopeId', { ...BUDGET, scope: 'PROVIDER' }, 'required'],
    ['scopeId', { ...BUDGET, scopeId: 'x' }, 'forbidden'],
    ['scopeId', { ...BUDGET, scope: 'GLOBAL', scopeId: 'x' }, 'forbidden'],
    ['consequence', { ...BUDGET, consequence: 'ABORT' }, 'forbidden'],
    ['measurementWindowSeconds', { ...RATE, measurementWindowSeconds: 60 }, 'forbidden'],
    ['params', { ...BUDGET, params: {} }, 'forbidden'],
  ])('G.4: %s of %j is %s', async (field, request, reason) => {
    const error = await refusal(service.create('t1', bad(request)));
    expect([
      LimitValidationError.is(error),
      PolicyLimitsServiceError.is(error),
      InvalidArgumentError.is(error),
    ]).toEqual([true, true, true]);
    expect(error).toMatchObject({ details: { field, reason } });
    expect(limits.created).toEqual([]);
  });
  it.each<[string, object]>([
    ['limitType', { ...BUDGET, limitType: 'tokens' }],
    ['limitType', { ...BUDGET, limitType: 'X'.repeat(33) }],
    ['surprise', { ...BUDGET, surprise: 1 }],
    ['name', { ...BUDGET, name: '   ' }],
    ['name', { ...BUDGET, name: 'x'.repeat(257) }],
    ['description', { ...BUDGET, description: 'x'.repeat(1025) }],
    ['maxValue', { ...BUDGET, maxValue: '0' }],
    ['maxValue', { ...BUDGET, maxValue: '0.000000' }],
    ['maxValue', { ...BUDGET, maxValue: 12 }],
    ...['1e3', '-1', '+1', ' 1', '1.', '.5', '0x1', 'NaN', '１', '1.0000001', '123456789012345'].map(
      (maxValue): [string, object] => ['maxValue', { ...BUDGET, maxValue }],
    ),
    ['scope', { ...BUDGET, scope: null }],
    ['windowSeconds', { ...RATE, windowSeconds: 2_678_401 }],
    ['params.maxTokens', { ...THRESHOLD, params: { maxTokens: 255 } }],
    ['params.other', { ...THRESHOLD, params: { other: 1 } }],
    ['params', { ...THRESHOLD, params: 'x' }],
    ['params', { ...THRESHOLD, params: [{ maxTokens: 9000 }] }],
    ['params', { ...THRESHOLD, params: null }],
  ])('G.4: a bad %s is refused', async (field, request) => {
    const error = await refusal(service.create('t1', bad(request)));
    expect(error).toMatchObject({ code: 'INVALID_ARGUMENT', details: { field } });
    expect(limits.created).toEqual([]);
  });
  it('F44: dollars are refused with a message that says what to use', async () => {
    expect(await refusal(service.create('t1', { ...BUDGET, limitType: 'COST_USD', maxValue: '12.5' }))).toMatchObject({
      code: 'INVALID_ARGUMENT',
      message: expect.stringContaining('COST_CENTS') as string,
    });
    expect(await refusal(service.create('t1', bad({ ...THRESHOLD, params: { max_cost_usd: 0.29 } })))).toMatchObject({
      message: expect.stringContaining('max_cost_cents') as string,
    });
  });
  it.each([null, undefined, 'x', []])('refuses the request %p', async (request) => {
    expect(InvalidArgumentError.is(await refusal(service.create('t1', bad(request))))).toBe(true);
  });
});

describe('update', () => {
  beforeEach(() => service.create('t1', BUDGET, 'ann'));

  it('passes on what is given and nothing else', async () => {
    const updated = await service.update('t1', 'limit-1', { maxValue: '7.50', description: null }, 'bob');
    expect(limits.patches).toEqual([{ maxValue: '7.5', description: null, updatedBy: 'bob' }]);
    expect(updated).toMatchObject({ maxValue: '7.5', version: 2, unit: 'cents' });
    expect(audit.entries.at(-1)).toMatchObject({
      kind: 'updated',
      actorId: 'bob',
      before: { maxValue: '500000' },
      after: { maxValue: '7.5' },
    });
  });
  it.each(['limitCategory', 'limitType', 'scope', 'scopeId'])('G.4: %s never changes', async (field) => {
    const error = await refusal(service.update('t1', 'limit-1', bad({ name: 'x', [field]: 'BUDGET' })));
    expect([ImmutableFieldError.is(error), PolicyLimitsServiceError.is(error)]).toEqual([true, true]);
    expect(error).toMatchObject({ details: { field } });
    expect(limits.patches).toEqual([]);
  });
  it.each<[string, UpdatePolicyLimitRequest]>([
    ['windowSeconds', { windowSeconds: 60 }],
    ['params', { params: { maxTokens: 9000 } }],
  ])('G.4: a BUDGET limit has no %s', async (field, request) => {
    const error = await refusal(service.update('t1', 'limit-1', request));
    expect([LimitValidationError.is(error), limits.patches]).toEqual([true, []]);
    expect(error).toMatchObject({ details: { field } });
  });
  it.each<unknown>([{}, { expectedVersion: 1 }, { name: undefined }, null, { name: '' }, { status: 'OFF' }, { x: 1 }])(
    'G.4: refuses the request %j',
    async (request) => {
      expect(InvalidArgumentError.is(await refusal(service.update('t1', 'limit-1', bad(request))))).toBe(true);
      expect(limits.patches).toEqual([]);
    },
  );
  it('a limit that becomes active gets its verification where it has none', async () => {
    await service.delete('t1', 'limit-1');
    await service.update('t1', 'limit-1', { status: 'ACTIVE' });
    expect(limits.verified).toEqual(['limit-1']);
    await service.update('t1', 'limit-1', { name: 'x' });
    expect(limits.verified).toHaveLength(1);
  });
  it('another tenant’s limit is not found', async () => {
    expect(LimitNotFoundError.is(await refusal(service.update('t2', 'limit-1', { name: 'x' })))).toBe(true);
  });
  it('thresholds are merged under the stored keys', async () => {
    await service.create('t1', THRESHOLD);
    await service.update('t1', 'limit-2', { params: { maxCostCents: '29.10' } });
    expect(limits.patches.at(-1)?.params).toEqual({ max_cost_cents: '29.1' as DecimalString });
  });
});

describe('delete', () => {
  it('ends a limit once; a second time is no error, no write, no audit', async () => {
    await service.create('t1', BUDGET);
    await service.delete('t1', 'limit-1', 'bob');
    await service.delete('t1', 'limit-1', 'bob');
    expect(limits.stored.get('limit-1')).toMatchObject({ status: 'DISABLED', version: 2 });
    expect(audit.entries.filter(({ kind }) => kind === 'disabled')).toMatchObject([
      { actorId: 'bob', before: { status: 'ACTIVE' }, after: { status: 'DISABLED' } },
    ]);
  });
  it('a missing limit is not found', async () => {
    expect(LimitNotFoundError.is(await refusal(service.delete('t1', 'none')))).toBe(true);
  });
});

describe('get', () => {
  it('gives the limit, or says that there is none', async () => {
    await service.create('t1', RATE);
    expect(await service.get('t1', 'limit-1')).toMatchObject({ unit: 'count', windowSeconds: 60 });
    expect(LimitNotFoundError.is(await refusal(service.get('t2', 'limit-1')))).toBe(true);
  });
});

it('without an audit sink everything works', async () => {
  const plain = getPolicyLimitsService(limits);
  await plain.create('t1', RATE);
  await plain.update('t1', 'limit-1', { name: 'x' });
  await plain.delete('t1', 'limit-1');
  expect(limits.stored.get('limit-1')).toMatchObject({ name: 'x', status: 'DISABLED' });
});

it.each(['create', 'update', 'delete', 'get'] as const)('%s refuses a malformed tenant first', async (method) => {
  const call = { create: BUDGET, update: 'limit-1', delete: 'limit-1', get: 'limit-1' }[method];
  expect(TenantScopeError.is(await refusal(service[method]('', bad(call), bad({}))))).toBe(true);
});

it('validateCategoryFields is offered by the service too', () => {
  expect(() => service.validateCategoryFields({ limitCategory: 'BUDGET' })).toThrow(LimitValidationError);
  expect(() => service.validateCategoryFields({ limitCategory: 'BUDGET', resetPeriod: 'NONE' })).not.toThrow();
});
