import { fixedClock, memoryLogger, makeLimit, makeTenant, makeRun, makeLimitOverride } from '@hoc/shared/testing';
import { createHoc } from '@hoc/shared/spine';
import { HocError, systemScope } from '@hoc/shared/kernel';
import { insertRows, useEmptyDatabase } from '@hoc/testkit';
import { controlsModule } from './controls.module';
const NOW = '2026-03-10T12:00:00.000Z';
const clock = fixedClock(NOW);
const db = useEmptyDatabase({ entities: [], migrations: [] });
const connect = () => createHoc({ connection: { url: db.url(), applicationName: 'zz' }, modules: [controlsModule], clock, logger: memoryLogger() });
let hoc: ReturnType<typeof connect>;
const out: string[] = [];
const say = (l: string, v: unknown) => { out.push(l + ' => ' + (typeof v === 'string' ? v : JSON.stringify(v)?.slice(0, 400))); };
async function probe(label: string, work: () => Promise<unknown>) {
  const t = Date.now();
  try { const v = await work(); say(label, v as never); }
  catch (e) { say(label, 'THROWS ' + (HocError.is(e) ? JSON.stringify(e).slice(0, 400) : 'RAW!! ' + String((e as Error)?.stack).slice(0, 500))); }
  const d = Date.now() - t; if (d > 500) out.push('   took ' + d);
}
const any = (v: unknown): never => v as never;
const scope = systemScope('x');
describe('s', () => {
  beforeAll(async () => { hoc = connect(); await hoc.migrate();
    await insertRows(db.dataSource().manager, makeTenant({ id: 't' }), makeTenant({id:'u'}),
      makeLimit('t', { id: 'big', limit_category: 'BUDGET', reset_period: 'NONE', max_value: '99999999999999.999999' }),
      makeLimit('t', { id: 'l', limit_category: 'BUDGET', reset_period: 'DAILY', max_value: '1000' }),
      makeLimit('u', { id: 'l', limit_category: 'BUDGET', reset_period: 'DAILY', max_value: '1000' }),
      makeLimit('t', { id: 'zero', limit_category: 'BUDGET', reset_period: 'DAILY', max_value: '0' }),
      makeRun('t', {id: 'r'}),
    );
  });
  afterAll(async () => { require('fs').writeFileSync('/tmp/hostile/out.txt', out.join('\n')); await hoc.close(); });


  it('hostile', async () => {
    await insertRows(db.dataSource().manager, makeLimit('t', { id: 'agent', limit_category: 'BUDGET', reset_period: 'DAILY', max_value: '10', scope: 'AGENT', scope_id: 'a' }));
    const q = <T,>(w: (c: never) => Promise<T>) => hoc.transaction(({ controls }) => w(controls as never));
    const bads: [string, () => unknown][] = [
      ['undefined', () => undefined], ['null', () => null], ['num', () => 5], ['str', () => 'x'], ['10MB', () => 'x'.repeat(1e7)], ['bigint', () => 5n], ['sym', () => Symbol('x')], ['arr', () => []], ['bigarr', () => new Array(1e6).fill('a')], ['fn', () => () => 1], ['date', () => new Date(NaN)], ['date2', () => new Date(8.64e15)], ['datebc', () => new Date(-8.64e15)], ['nul', () => 'a\u0000b'], ['sur', () => 'a\ud800'], ['protoObj', () => JSON.parse('{"__proto__":{"a":1}}')], ['ctorObj', () => JSON.parse('{"constructor":1}')], ['proxy', () => new Proxy({}, { get: () => 5 })], ['nan', () => NaN], ['neg', () => -1], ['frac', () => 1.5], ['huge', () => 1e308], ['true', () => true], ['map', () => new Map()], ['cls', () => new (class X { a = 1 })()], ['nullproto', () => Object.create(null)], ['toStr', () => ({ toString: () => 'l', valueOf: () => 1 })], ['String', () => new String('l')],
    ];
    const okp = { maxExecutionTimeMs: 60000, maxTokens: 8192, maxCostCents: '100', failureSignal: true };
    const calls: [string, object, (c: any, v: any) => Promise<unknown>][] = [
      ['reserve', { limitIds: ['l'], amountCents: '1', idempotencyKey: 'h', runId: 'r', ttlSeconds: 5 }, (c, v) => c.reservations.reserve('t', v)],
      ['breach', { limitId: 'l', runId: 'r', incidentId: 'nope', breachType: 'BREACHED', valueAtBreach: '1', idempotencyKey: 'h', details: {} }, (c, v) => c.breaches.recordBreach('t', v)],
      ['override', { limitId: 'l', overrideValue: '5000', durationHours: 1, reason: 'because I need it', scheduledStart: new Date('2026-03-11T00:00:00Z') }, (c, v) => c.overrides.requestOverride('t', v, 'me')],
      ['createLimit', { name: 'n', description: 'd', limitCategory: 'THRESHOLD', limitType: 'COST_CENTS', scope: 'PROJECT', scopeId: 'p', maxValue: '100', consequence: 'ALERT', measurementWindowSeconds: 60, params: {}, enforcement: 'BLOCK' }, (c, v) => c.policyLimits.create('t', v, 'me')],
      ['updateLimit', { name: 'n', description: 'd', maxValue: '100', enforcement: 'BLOCK', resetPeriod: 'DAILY', status: 'ACTIVE', expectedVersion: 1 }, (c, v) => c.policyLimits.update('t', 'l', v, 'me')],
      ['check', { kind: 'cost', estimated: '1', currentUsage: { l: '1' }, context: { agentId: 'a' } }, (c, v) => c.checks.check('t', v)],
      ['scope', { incidentId: 'i', allowedActions: ['a'], targetAgents: ['b'], maxCostCents: '1', maxAttempts: 2, ttlSeconds: 5, intent: 'x', createdBy: 'me' }, (c, v) => c.scopes.createScope('t', v)],
      ['recoveryScope', { incidentId: 'i', action: 'a' , maxCostCents: '1'}, (c, v) => c.scopes.createRecoveryScope('t', v)],
      ['emit', { runId: 'r', state: 'live', paramsUsed: okp, signals: ['RUN_FAILED'] }, (c, v) => c.signals.emitAndPersistThresholdSignal('t', v)],
      ['emit1', { runId: 'r', state: 'live', paramsUsed: okp, signal: 'RUN_FAILED' }, (c, v) => c.signals.emitThresholdSignal('t', v)],
      ['live', { tenantId: 't', runId: 'r', startedAt: new Date(), tokensUsed: 5, agentId: 'a', projectId: 'p' }, (c, v) => c.thresholds.evaluateLiveRun(v)],
      ['done', { tenantId: 't', runId: 'r', status: 'failed', executionTimeMs: 5, tokensUsed: 5, costCents: '1', agentId: 'a' }, (c, v) => c.thresholds.evaluateCompletedRun(v)],
      ['evidence', { runId: 'r', controlSetVersion: 'a'.repeat(64), overrideIdsApplied: ['o'], resolverVersion: '1', decision: 'ALLOW' }, (c, v) => c.evidence.recordEvidence('t', v)],
      ['halt', { tenantId: 't', runId: 'r', budgetLimitCents: '1', budgetConsumedCents: '2', stepCostCents: '0', completedSteps: 1, totalSteps: 2 }, (c, v) => c.budgets.emitDecisionForHalt(v)],
      ['sweepHalts', { pageSize: 5, maxPages: 5, since: new Date(0), cursor: undefined }, (c, v) => c.budgets.processPendingHalts(v)],
      ['listLimits', { category: 'BUDGET', status: 'ACTIVE', scope: 'AGENT', enforcement: 'BLOCK', limitType: 'COST_*', createdAfter: new Date(0), createdBefore: new Date() }, (c, v) => c.limits.listLimits('t', v)],
      ['listOverrides', { status: 'ACTIVE', limitId: 'l' }, (c, v) => c.overrides.listOverrides('t', v)],
      ['queryEvidence', { runId: 'r', controlSetVersion: 'a'.repeat(64) }, (c, v) => c.evidence.queryEvidence('t', v)],
      ['claim', { limit: 1, leaseSeconds: 5 }, (c, v) => c.alerts.claimDueAlerts(v)],
      ['incidents', { includeResolved: true, limit: 5 }, (c, v) => c.breakerControl.getIncidents(v)],
    ];
    for (const [name, good, call] of calls) {
      const attempt = async (label: string, v: unknown) => {
        const t = Date.now();
        let what = 'ok';
        try { await q((c) => call(c, v)); } catch (e) { what = HocError.is(e) ? e.code + ' ' + String(e.details['reason']) + (JSON.stringify(e).length > 3000 ? ' LONG ' + JSON.stringify(e).length : '') : 'RAW ' + String((e as Error)?.stack ?? e).slice(0, 300); }
        const ms = Date.now() - t;
        if (/RAW|INTERNAL|DATA_INT|UNAVAIL|LONG| check| value$|not_null/.test(what) || ms > 300) out.push(`${name} ${label} => ${what} ${ms}ms`);
        return what;
      };
      for (const [b, make] of bads) { await attempt('whole ' + b, make()); }
      for (const field of Object.keys(good)) for (const [b, make] of bads) {
        const v = { ...good, [field]: make() };
        const what = await attempt(field + ' ' + b, v);
        if (what === 'ok' && !['undefined'].includes(b)) out.push(`   ACCEPTED ${name} ${field} ${b}`);
      }
      // prototypes: inherited fields only
      const inh = await attempt('inherited', Object.create(good)); out.push(`${name} inherited: ${inh}`);
      class Inst { constructor() { Object.assign(this, good); } } out.push(`${name} instance: ${await attempt('instance', new Inst())}`);
      out.push(`${name} good: ${await attempt('good', good)}`);
      out.push(`${name} extra: ${await attempt('extra', { ...good, zz: 1 })} | proto key: ${await attempt('proto', JSON.parse('{"__proto__":{"x":1},' + JSON.stringify(good).slice(1)))} | sym: ${await attempt('symkey', { ...good, [Symbol('a')]: 1 })}`);
    }
    const r = await hoc.transaction(({ controls: c }) => c.limits.listLimits('t', any(Object.create({ scope: 'AGENT' }))));
    out.push('INHERITED SCOPE FILTER items ' + r.items.map((x) => x.limitId + x.scope));
  });
});
