import {
  type AlertTransport,
  type ClaimedAlert,
  DEFAULT_LLM_RUN_PARAMS,
  type LimitAuditEntry,
  type LimitAuditSink,
  type RunRiskSink,
} from '@hoc/controls/schemas';
import {
  ConflictError,
  type DecimalString,
  HocError,
  InvalidArgumentError,
  systemScope,
  TransactionRequiredError,
} from '@hoc/shared/kernel';
import { createHoc } from '@hoc/shared/spine';
import { fixedClock, makeIncident, makeLimit, makeRun, makeTenant } from '@hoc/shared/testing';
import { insertRows, useEmptyDatabase } from '@hoc/testkit';
import type { EntityManager } from 'typeorm';
import { type ControlsDeps, controlsModule } from './index';

const NOW = new Date('2026-03-10T12:00:00.000Z');
const clock = fixedClock(NOW);
const scope = systemScope('test');
const db = useEmptyDatabase({ entities: [], migrations: [] });
type Own = Omit<ControlsDeps<EntityManager>, 'clock' | 'ids' | 'logger'>;
const connect = (controls: Own = {}) =>
  createHoc({
    connection: { url: db.url(), applicationName: 'controls' },
    modules: [controlsModule],
    clock,
    deps: { controls },
  });
type Hoc = ReturnType<typeof connect>;
let hoc: Hoc;
/** An app of its own with these deps, for one piece of work. */
async function withDeps<T>(deps: Own, work: (own: Hoc) => Promise<T>): Promise<T> {
  const own = connect(deps);
  try {
    return await work(own);
  } finally {
    await own.close();
  }
}
const call: Hoc['transaction'] = (work) => hoc.transaction(work);
const query = async <T>(sql: string, values: readonly unknown[] = []): Promise<T[]> =>
  db.dataSource().query(sql, [...values]);
const cents = (text: string): DecimalString => text as DecimalString;
const refusal = (work: Promise<unknown>): Promise<HocError | string> =>
  work.then(
    () => 'nothing',
    (error: unknown) => (HocError.is(error) ? error : String(error)),
  );
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

// A describe of its own: its hooks end before the database looks for connections that were left open.
describe('the module on a database', () => {
  beforeAll(async () => {
    hoc = connect();
    await hoc.migrate();
  });
  beforeEach(async () => {
    clock.set(NOW);
    await insertRows(
      db.dataSource().manager,
      makeTenant({ id: 't', max_runs_per_day: 100 }),
      makeIncident('t', { id: 'incident' }),
      makeRun('t', { id: 'run' }),
      makeLimit('t', { id: 'budget', limit_category: 'BUDGET', reset_period: 'MONTHLY', max_value: '100' }),
    );
  });
  afterEach(() =>
    query('TRUNCATE tenants, runs, limits, incidents, costsim_cb_state, costsim_cb_incidents, status_history CASCADE'),
  );
  afterAll(() => hoc.close());

  describe('every engine answers in the transaction that it is given', () => {
    it('limits', async () => {
      const list = await call(({ controls }) => controls.limits.listLimits('t', {}, {}));
      expect([list.total, list.items.map(({ limitId }) => limitId)]).toEqual([1, ['budget']]);
    });

    it('checks, with the overrides of the same transaction', async () => {
      const request = { kind: 'cost' as const, estimated: '150' };
      expect(await call(({ controls }) => controls.checks.check('t', request))).toMatchObject({
        ...{ decision: 'BLOCK', blockingLimitId: 'budget' },
      });
      const raised = await call(async ({ controls }) => {
        const { overrideId } = await controls.overrides.requestOverride(
          't',
          { limitId: 'budget', overrideValue: '400', durationHours: 1, reason: 'a campaign of the day' },
          'ann',
        );
        return { overrideId, ...(await controls.checks.check('t', request)) };
      });
      expect([raised.decision, raised.overridesApplied]).toEqual(['ALLOW', [raised.overrideId]]);
    });

    it('policyLimits', async () => {
      const { limitId, version } = await call(({ controls }) =>
        controls.policyLimits.create(
          't',
          {
            ...{ name: 'A rate', limitCategory: 'RATE', limitType: 'REQUESTS_PER_MINUTE' },
            ...{ maxValue: '60', windowSeconds: 60 },
          },
          'ann',
        ),
      );
      expect(version).toBe(1);
      expect(await call(({ controls }) => controls.policyLimits.get('t', limitId))).toMatchObject({ name: 'A rate' });
    });

    it('overrides', async () => {
      expect(await call(({ controls }) => controls.overrides.countOverrides('t'))).toBe(0);
    });

    it('thresholds, and signals of what they find: the run’s own risk level rises where no sink is given', async () => {
      const found = await call(({ controls }) =>
        controls.thresholds.evaluateLiveRun({ tenantId: 't', runId: 'run', startedAt: NOW, tokensUsed: 10_000_000 }),
      );
      expect(found.signals).toEqual(['TOKEN_LIMIT_EXCEEDED']);
      const { signals, paramsUsed } = found;
      const emit = () =>
        call(({ controls }) =>
          controls.signals.emitAndPersistThresholdSignal('t', { runId: 'run', state: 'live', signals, paramsUsed }),
        );
      const emitted = await emit();
      expect(emitted.emitted).toEqual(['TOKEN_LIMIT_EXCEEDED']);
      const [row] = await query<{ risk_level: string }>(`SELECT risk_level FROM runs WHERE id = 'run'`);
      expect(row?.risk_level).toBe(emitted.riskLevel);
      expect((await emit()).duplicates).toEqual(['TOKEN_LIMIT_EXCEEDED']);
    });

    it('breaker, and breakerControl on the same row', async () => {
      expect(await call(({ controls }) => controls.breaker.shouldUseV2())).toEqual({ use: true, reason: 'CLOSED' });
      expect(await call(({ controls }) => controls.breakerControl.disableV2('a test', 'ann'))).toMatchObject({
        changed: true,
      });
      expect(await call(({ controls }) => controls.breaker.shouldUseV2())).toEqual({ use: false, reason: 'OPEN' });
      expect(await call(({ controls }) => controls.breakerControl.getState())).toMatchObject({ isOpen: true });
    });

    it('budgets', async () => {
      const error_message = 'Hard budget limit reached: 12c consumed >= 10c limit';
      await insertRows(
        db.dataSource().manager,
        makeRun('t', { id: 'halted', status: 'halted', error_message, completed_at: NOW }),
      );
      expect(await call(({ controls }) => controls.budgets.processPendingHalts())).toMatchObject({ emitted: 1 });
    });

    it('scopes', async () => {
      const { scopeId } = await call(({ controls }) =>
        controls.scopes.createScope('t', { incidentId: 'incident', allowedActions: ['retry'] }),
      );
      const attempt = await call(({ controls }) =>
        controls.scopes.consumeScope('t', { scopeId, action: 'retry', incidentId: 'incident', costCents: '1' }),
      );
      expect([attempt.attemptNumber, attempt.scope.costUsedCents]).toEqual([1, '1']);
    });

    it('reservations', async () => {
      const { reservationId } = await call(({ controls }) =>
        controls.reservations.reserve('t', {
          ...{ limitIds: ['budget'], amountCents: cents('40'), idempotencyKey: 'k', runId: 'run' },
        }),
      );
      await call(({ controls }) => controls.reservations.settle('t', reservationId, cents('30.5')));
      expect(await call(({ controls }) => controls.reservations.fetchWindow('t', 'budget'))).toMatchObject({
        ...{ capCents: '100', reservedCents: '0', spentCents: '30.5', remainingCents: '69.5' },
      });
    });

    it('breaches', async () => {
      const { row } = await call(({ controls }) =>
        controls.breaches.recordBreach('t', {
          ...{
            limitId: 'budget',
            runId: 'run',
            breachType: 'BREACHED',
            valueAtBreach: cents('101'),
            idempotencyKey: 'k',
          },
        }),
      );
      expect(row.limitValue).toBe('100');
      const page = await call(({ controls }) => controls.limits.listBreachesForRun('t', 'run'));
      expect(page.items.map(({ breachId }) => breachId)).toEqual([row.breachId]);
    });

    it('evidence', async () => {
      const { row } = await call(({ controls }) =>
        controls.evidence.recordEvidence('t', {
          ...{ runId: 'run', controlSetVersion: 'a'.repeat(64), overrideIdsApplied: [], resolverVersion: '1' },
          decision: 'ALLOW',
        }),
      );
      const page = await call(({ controls }) => controls.evidence.queryEvidence('t', { runId: 'run' }));
      expect(page.items).toEqual([row]);
    });

    it('alerts', async () => {
      await call(({ controls }) => controls.breakerControl.disableV2('a test', 'ann'));
      expect(await call(({ controls }) => controls.alerts.fetchAlertQueueStats())).toMatchObject({ pending: 1 });
    });

    it('what is written goes with the transaction: an error takes all of it back', async () => {
      const failed = call(async ({ controls }) => {
        await controls.breakerControl.disableV2('a test', 'ann');
        await controls.reservations.reserve('t', {
          ...{ limitIds: ['budget'], amountCents: cents('1'), idempotencyKey: 'k' },
        });
        throw new ConflictError('not today');
      });
      expect(await refusal(failed)).toMatchObject({ message: 'not today' });
      expect(await call(({ controls }) => controls.breaker.shouldUseV2())).toMatchObject({ reason: 'CLOSED' });
      expect(await call(({ controls }) => controls.reservations.fetchWindow('t', 'budget'))).toMatchObject({
        reservedCents: '0',
      });
    });

    it('without a transaction, calls that need one say so', async () => {
      const engines = controlsModule.compose(db.dataSource().manager, { clock, ids: { next: () => 'id' } });
      expect(TransactionRequiredError.is(await refusal(engines.breaker.observe({ driftScore: 0.9 })))).toBe(true);
    });
  });

  describe('deps', () => {
    it('breaker: which one, and at what it opens', () =>
      withDeps({ breaker: { name: 'mine', failureThreshold: 2, driftThreshold: 0.5 } }, async (own) => {
        const observe = (driftScore: number) =>
          own.transaction(({ controls }) => controls.breaker.observe({ driftScore }));
        expect(await observe(0.4)).toMatchObject({ incident: null, level: 'WARNING' });
        expect(await observe(0.6)).toMatchObject({ incident: null, level: 'FAILURE' });
        expect(await observe(0.7)).toMatchObject({ incident: { severity: 'P1' }, level: 'FAILURE' });
        expect(await own.transaction(({ controls }) => controls.breaker.shouldUseV2())).toMatchObject({ use: false });
        // The breaker of everybody who names none is another one.
        expect(await call(({ controls }) => controls.breaker.shouldUseV2())).toMatchObject({ use: true });
      }));

    it.each([
      ['open', false],
      ['closed', true],
    ] as const)('breaker.onUnavailable %s: what holds while it can’t be asked', async (onUnavailable, use) => {
      const own = createHoc({
        connection: { url: db.url(), applicationName: 'controls', lockTimeoutMs: 50 },
        modules: [controlsModule],
        clock,
      });
      await own.transaction(() => Promise.resolve());
      const holder = db.dataSource().createQueryRunner();
      await holder.startTransaction();
      try {
        await holder.query('LOCK TABLE costsim_cb_state IN ACCESS EXCLUSIVE MODE');
        // Without a transaction: the failed look-up would have aborted it.
        const ids = { next: () => 'id' };
        const { breaker } = controlsModule.compose(own.dataSource.manager, { clock, ids, breaker: { onUnavailable } });
        expect(await breaker.shouldUseV2()).toEqual({ use, reason: 'UNAVAILABLE' });
      } finally {
        await holder.rollbackTransaction();
        await holder.release();
        await own.close();
      }
    });

    it('a breaker that makes no sense is refused with the first transaction, and named', () =>
      withDeps({ breaker: { failureThreshold: 0 } }, async (own) => {
        const error = await refusal(own.transaction(() => Promise.resolve()));
        expect([InvalidArgumentError.is(error), error]).toEqual([
          true,
          expect.objectContaining({ details: expect.objectContaining({ field: 'failureThreshold' }) as unknown }),
        ]);
      }));

    it('charges out of their bounds are refused at once', () => {
      expect(() => connect({ charges: { maxBatch: 0 } })).toThrow(InvalidArgumentError);
    });

    it('riskSink: raises in place of the runs’ own, on the manager of the transaction', async () => {
      const raised: unknown[] = [];
      const riskSink = (manager: EntityManager): RunRiskSink => ({
        raise: async (tenantId, runId, signals) => {
          await manager.query(`UPDATE runs SET goal = 'raised' WHERE tenant_id = $1 AND id = $2`, [tenantId, runId]);
          raised.push([tenantId, runId, signals]);
          return 'VIOLATED';
        },
      });
      await withDeps({ riskSink }, async (own) => {
        const emission = await own.transaction(({ controls }) =>
          controls.signals.emitAndPersistThresholdSignal('t', {
            ...{ runId: 'run', state: 'completed', signals: ['RUN_FAILED'], paramsUsed: DEFAULT_LLM_RUN_PARAMS },
          }),
        );
        expect(emission.riskLevel).toBe('VIOLATED');
      });
      expect(raised).toEqual([['t', 'run', ['RUN_FAILED']]]);
      expect(await query(`SELECT goal FROM runs`)).toEqual([{ goal: 'raised' }]);
    });

    describe('limitAudit', () => {
      /** Writes who did what into the description of the tenant's limit, on the manager that it is given. */
      const audit =
        (fails: () => boolean) =>
        (manager: EntityManager): LimitAuditSink => {
          const write = async (what: string, { limitId, actorId }: LimitAuditEntry): Promise<void> => {
            await manager.query('UPDATE limits SET description = $2 WHERE id = $1', [limitId, `${what} ${actorId}`]);
            if (fails()) throw new ConflictError('the audit is full');
          };
          return {
            limitCreated: (entry) => write('created by', entry),
            limitUpdated: (entry) => write('updated by', entry),
            limitDisabled: (entry) => write('disabled by', entry),
          };
        };
      const limits = () => query(`SELECT id, description, trim_scale(max_value)::text AS value, status FROM limits`);

      it('is told in the same transaction', () =>
        withDeps({ limitAudit: audit(() => false) }, async (own) => {
          await own.transaction(({ controls }) =>
            controls.policyLimits.update('t', 'budget', { maxValue: '200' }, 'ann'),
          );
          expect(await limits()).toEqual([
            { id: 'budget', description: 'updated by ann', value: '200', status: 'ACTIVE' },
          ]);
        }));

      it.each<[string, (own: Hoc) => Promise<unknown>]>([
        [
          'a creation',
          (own) =>
            own.transaction(({ controls }) =>
              controls.policyLimits.create('t', {
                ...{ name: 'B', limitCategory: 'BUDGET', limitType: 'COST_CENTS', maxValue: '1', resetPeriod: 'DAILY' },
              }),
            ),
        ],
        [
          'a change',
          (own) => own.transaction(({ controls }) => controls.policyLimits.update('t', 'budget', { maxValue: '200' })),
        ],
        ['an end', (own) => own.transaction(({ controls }) => controls.policyLimits.delete('t', 'budget'))],
      ])('its error takes %s back', (_what, change) =>
        withDeps({ limitAudit: audit(() => true) }, async (own) => {
          const before = await limits();
          expect(await refusal(change(own))).toMatchObject({ code: 'CONFLICT', message: 'the audit is full' });
          expect(await limits()).toEqual(before);
          expect(await query('SELECT count(*)::int AS n FROM limit_integrity')).toEqual([{ n: 0 }]);
        }),
      );
    });

    it('alertTransport absent: alerts stay in the queue, and a delivery says why', async () => {
      await call(({ controls }) => controls.breakerControl.disableV2('a test', 'ann'));
      expect(await refusal(hoc.services.controls.alerts.deliverDue())).toMatchObject({
        ...{ code: 'UNAVAILABLE', retryable: false, details: { reason: 'transport_missing' } },
      });
      expect(await call(({ controls }) => controls.alerts.fetchAlertQueueStats())).toMatchObject({ pending: 1 });
    });

    it('alertTransport: what the breaker queued is sent', async () => {
      const sent: ClaimedAlert[] = [];
      const alertTransport: AlertTransport = {
        send: (alert) => {
          sent.push(alert);
          return Promise.resolve({ status: 200 });
        },
      };
      await withDeps({ alertTransport }, async (own) => {
        await own.transaction(({ controls }) => controls.breakerControl.disableV2('a test', 'ann'));
        expect(await own.services.controls.alerts.deliverDue()).toEqual({ claimed: 1, sent: 1, failed: 0 });
      });
      expect(sent.map(({ alertType }) => alertType)).toEqual(['disable']);
    });
  });

  describe('closing', () => {
    it('services.close gives the same promise each time, and every service is closed then', async () => {
      const own = connect();
      const { controls } = own.services;
      const closing = controls.close();
      expect(controls.close()).toBe(closing);
      await closing;
      const charge = { limitIds: ['budget'], amountCents: cents('1'), idempotencyKey: 'k' };
      const refused = await Promise.all(
        [
          controls.charges.reserve('t', charge),
          controls.alerts.deliverDue(),
          controls.sweeps.haltDecisions(scope),
          controls.sweeps.expireReservations(scope),
          controls.sweeps.expireScopes(scope),
          controls.overrideLifecycle.sweep(scope),
        ].map(refusal),
      );
      expect(refused.map((error) => (HocError.is(error) ? error.details['reason'] : error))).toEqual([
        ...['closed', 'closed', 'closed', 'closed', 'closed', 'closed'],
      ]);
      // The services alone are closed: transactions go on until hoc is.
      expect(await own.transaction(({ controls: engines }) => engines.breaker.shouldUseV2())).toMatchObject({
        use: true,
      });
      await own.close();
    });

    it('hoc.close drains: the alert on its way is marked, the charges that wait are stored, the connections are gone', async () => {
      let answer: (reply: { status: number }) => void = () => undefined;
      let underWay: () => void = () => undefined;
      const sending = new Promise<void>((resolve) => (underWay = resolve));
      const alertTransport: AlertTransport = {
        send: () => {
          underWay();
          return new Promise((resolve) => (answer = resolve));
        },
      };
      const own = connect({ alertTransport });
      await own.transaction(({ controls }) => controls.breakerControl.disableV2('a test', 'ann'));
      const delivery = own.services.controls.alerts.deliverDue();
      await sending;
      const charges = [1, 2].map((n) =>
        own.services.controls.charges.reserve('t', {
          ...{ limitIds: ['budget'], amountCents: cents('1'), idempotencyKey: `k-${n}` },
        }),
      );
      let closed = false;
      const closing = own.close().then(() => (closed = true));
      await Promise.all(charges);
      await turn();
      expect(closed).toBe(false);
      answer({ status: 202 });
      await closing;
      expect(await delivery).toEqual({ claimed: 1, sent: 1, failed: 0 });
      expect(await query('SELECT status FROM costsim_alert_queue')).toEqual([{ status: 'sent' }]);
      expect(await query('SELECT count(*)::int AS n FROM budget_reservations')).toEqual([{ n: 2 }]);
      expect(own.dataSource.isInitialized).toBe(false);
    });
  });

  it('the descriptor is frozen, needs no other package, and says what an app composes by hand', () => {
    expect([controlsModule.name, controlsModule.requires, Object.isFrozen(controlsModule)]).toEqual([
      ...['controls', [], true],
    ]);
    const engines = controlsModule.compose(db.dataSource().manager, { clock, ids: { next: () => 'id' } });
    expect([Object.isFrozen(engines), Object.keys(engines).length]).toEqual([true, 14]);
  });
});
