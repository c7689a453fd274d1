import { entities, migrations } from '@hoc/controls/models';
import type { CircuitBreakerConfig } from '@hoc/controls/schemas';
import { systemScope } from '@hoc/shared/kernel';
import { entities as shared, migrations as sharedMigrations } from '@hoc/shared/models';
import { fixedClock, sequentialIds } from '@hoc/shared/testing';
import { useDatabase } from '@hoc/testkit';
import fc from 'fast-check';
import { type CircuitBreaker, createCircuitBreaker } from './circuit-breaker.driver';

const RUNS = 100;
const START = new Date('2026-03-10T12:00:00.000Z').getTime();
const HOUR = 3_600_000;
const scope = systemScope('test');
const clock = fixedClock(new Date(START));
const db = useDatabase({ entities: [...shared, ...entities], migrations: [...sharedMigrations, ...migrations] });

type Step =
  | { readonly kind: 'drift'; readonly score: number }
  | { readonly kind: 'schema'; readonly errors: number }
  | { readonly kind: 'disable'; readonly reason: string; readonly hours: number | null | undefined }
  | { readonly kind: 'enable' }
  | { readonly kind: 'look' }
  | { readonly kind: 'recover' }
  | { readonly kind: 'wait'; readonly hours: number };
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('drift' as const), score: fc.constantFrom(0, 0.2, 0.21, 1) }) },
  fc.record({ kind: fc.constant('schema' as const), errors: fc.constantFrom(0, 4, 5, 6) }),
  fc.record({
    kind: fc.constant('disable' as const),
    reason: fc.constantFrom('a', 'b'),
    hours: fc.constantFrom(undefined, null, 1, 2),
  }),
  fc.constantFrom<Step>({ kind: 'enable' }, { kind: 'look' }, { kind: 'recover' }),
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('wait' as const), hours: fc.constantFrom(1, 2, 24) }) },
);
const config = fc.record({
  failureThreshold: fc.integer({ min: 1, max: 3 }),
  autoDisableEnabled: fc.oneof({ weight: 4, arbitrary: fc.constant(true) }, fc.constant(false)),
  autoRecoverEnabled: fc.oneof({ weight: 4, arbitrary: fc.constant(true) }, fc.constant(false)),
  defaultDisableTtlHours: fc.constantFrom(0, 1, 24),
});

/** What a breaker is, in the words of its story; written without a look at its rules. */
class Model {
  open: { readonly reason: string; until: number | null } | null = null;
  counter = 0;
  incidents = 0;
  readonly history: string[] = [];
  readonly alerts: string[] = [];

  constructor(private readonly config: Pick<CircuitBreakerConfig, ConfigKey>) {}

  get expired(): boolean {
    const until = this.open?.until ?? null;
    return this.config.autoRecoverEnabled && until !== null && until <= clock.now().getTime();
  }

  get disabled(): boolean {
    return this.open !== null && !this.expired;
  }

  /** What the call of the step shall answer. */
  take(each: Step): unknown {
    if (each.kind === 'wait') return undefined;
    if (each.kind === 'enable') return this.open !== null && this.close();
    if (each.kind === 'look' || each.kind === 'recover') {
      const was = this.expired && this.close();
      return each.kind === 'recover' ? was : this.open !== null;
    }
    if (each.kind === 'schema' && (each.errors < 5 || !this.config.autoDisableEnabled)) return false;
    if (this.expired) this.close();
    if (each.kind === 'disable') return this.disable(each);
    if (each.kind === 'schema') return this.open === null && this.trip('schema', undefined);
    this.counter = each.score > 0.2 ? this.counter + 1 : 0;
    const enough = each.score > 0.2 && this.counter >= this.config.failureThreshold;
    return enough && this.open === null && this.config.autoDisableEnabled && this.trip('drift', undefined);
  }

  private disable({ reason, hours }: { reason: string; hours: number | null | undefined }): boolean {
    if (this.open?.reason !== reason) return this.trip(reason, hours);
    if (hours === undefined || this.untilOf(hours) === this.open.until) return false;
    this.open.until = this.untilOf(hours);
    this.history.push('disabled>disabled');
    return true;
  }

  private trip(reason: string, hours: number | null | undefined): boolean {
    this.history.push(this.open === null ? 'enabled>disabled' : 'disabled>disabled');
    this.open = { reason, until: this.untilOf(hours) };
    this.incidents += 1;
    this.alerts.push('disable');
    return true;
  }

  private close(): boolean {
    this.open = null;
    this.counter = 0;
    this.history.push('disabled>enabled');
    this.alerts.push('enable');
    return true;
  }

  private untilOf(hours: number | null | undefined): number | null {
    const asked = hours === undefined ? this.config.defaultDisableTtlHours || null : hours;
    return asked === null ? null : clock.now().getTime() + asked * HOUR;
  }
}
type ConfigKey = 'failureThreshold' | 'autoDisableEnabled' | 'autoRecoverEnabled' | 'defaultDisableTtlHours';

/** The same answer of the breaker. */
async function take(breaker: CircuitBreaker, each: Step): Promise<unknown> {
  switch (each.kind) {
    case 'wait':
      clock.advance(each.hours * HOUR);
      return undefined;
    case 'drift':
      return (await breaker.reportDrift(each.score)) !== null;
    case 'schema':
      return (await breaker.reportSchemaError(each.errors)) !== null;
    case 'disable': {
      const until = typeof each.hours === 'number' ? new Date(clock.now().getTime() + each.hours * HOUR) : each.hours;
      return (await breaker.disableV2(each.reason, 'ann', until)).changed;
    }
    case 'enable':
      return breaker.enableV2('ann');
    case 'look':
      return breaker.isDisabled();
    case 'recover':
      return breaker.autoRecover();
  }
}

/** All that is stored, and read without a write. */
async function seen(breaker: CircuitBreaker): Promise<object> {
  const state = await breaker.getState();
  const { items } = await breaker.getIncidents({ includeResolved: true, limit: 200 });
  const history: { moved: string }[] = await db
    .manager()
    .query(`SELECT old_status || '>' || new_status AS moved FROM status_history ORDER BY id`);
  const alerts: { alert_type: string }[] = await db
    .manager()
    .query('SELECT alert_type FROM costsim_alert_queue ORDER BY id');
  return {
    disabled: state.isOpen,
    counter: state.consecutiveFailures,
    incidents: items.length,
    unresolved: items.filter(({ resolved }) => !resolved).length,
    history: history.map(({ moved }) => moved),
    alerts: alerts.map(({ alert_type }) => alert_type),
  };
}

it('law 2: over any drifts, errors, people and waits, a breaker is what its story says', () =>
  fc.assert(
    fc.asyncProperty(config, fc.array(step, { minLength: 1, maxLength: 16 }), async (changes, steps) => {
      await db.manager().query('SAVEPOINT law');
      clock.set(new Date(START));
      const deps = { clock, ids: sequentialIds('x') };
      const breaker = createCircuitBreaker(db.manager(), scope, deps, { config: changes });
      const model = new Model(changes);
      try {
        for (const each of steps) {
          const answer = await take(breaker, each);
          expect([each.kind, answer]).toEqual([each.kind, model.take(each)]);
          expect(await seen(breaker)).toEqual({
            disabled: model.disabled,
            counter: model.counter,
            incidents: model.incidents,
            unresolved: model.open === null ? 0 : 1,
            history: model.history,
            alerts: model.alerts,
          });
        }
      } finally {
        await db.manager().query('ROLLBACK TO SAVEPOINT law');
      }
    }),
    { numRuns: RUNS },
  ));
