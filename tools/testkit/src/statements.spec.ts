import type { Client } from 'pg';
import { from } from 'pg-copy-streams';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { EntityManager } from 'typeorm';
import { captureStatements, explain, insertRows, statementCounter, useDatabase } from './index';
import { widgets } from './widgets';

const db = useDatabase(widgets);

const clientOf = async (manager: EntityManager): Promise<Client> => (await manager.queryRunner?.connect()) as Client;

describe('statementCounter', () => {
  it('counts strings, named statements and COPY on a connection that was open before', async () => {
    const counter = statementCounter(db.dataSource());
    const client = await clientOf(db.manager());
    await db.manager().query('SELECT $1::int', [1]);
    await client.query({ name: 'one', text: 'SELECT $1::int', values: [2] });
    await pipeline(Readable.from(['m1\n', 'm2\n']), client.query(from('COPY makers FROM STDIN')));
    expect(counter.statements()).toEqual([
      { text: 'SELECT $1::int', values: [1], name: undefined },
      { text: 'SELECT $1::int', values: [2], name: 'one' },
      { text: 'COPY makers FROM STDIN', values: [], name: undefined },
    ]);
  });

  it('does not count the transaction and its savepoints, but keeps them; counts any other SET', async () => {
    const counter = statementCounter(db.dataSource());
    await db.dataSource().transaction('SERIALIZABLE', async (manager) => {
      await manager.transaction(async (inner) => inner.query('SELECT 1'));
      await manager.query('SET LOCAL lock_timeout = 1000');
    });
    expect(counter.count()).toBe(2);
    expect(counter.all().length).toBeGreaterThanOrEqual(6);
  });

  it('sees connections that open later, counts each statement once, and starts over', async () => {
    const counters = [statementCounter(db.dataSource()), statementCounter(db.dataSource())];
    await Promise.all([1, 2, 3].map(() => db.dataSource().query('SELECT pg_sleep(0.02)')));
    expect(counters.map((counter) => counter.count())).toEqual([3, 3]);
    counters[0]?.reset();
    expect(counters.map((counter) => counter.count())).toEqual([0, 3]);
  });
});

describe('captureStatements and explain', () => {
  it('explains the statement that was really sent', async () => {
    await insertRows(
      db.manager(),
      { table: 'makers', row: { id: 'm' } },
      { table: 'widgets', row: { id: 'w', maker_id: 'm', n: 1, details: { a: [1, 'x'] }, made_at: new Date(0) } },
    );
    await expect(db.manager().query(`SELECT details, made_at FROM widgets`)).resolves.toEqual([
      { details: { a: [1, 'x'] }, made_at: new Date(0) },
    ]);
    await db.manager().query('SET LOCAL enable_seqscan = off');
    const [sent] = await captureStatements(db.manager(), () =>
      db.manager().query('SELECT id FROM widgets WHERE n > $1 ORDER BY n', [0]),
    );
    const plan = await explain(db.manager(), sent?.text ?? '', sent?.values, { analyze: true });
    expect(plan.indexes).toContain('ix_widgets_n');
    expect(plan.seqScans).toEqual([]);
    expect(plan.indexConditions.join()).toContain('n > 0');
    expect(plan.buffers).toBeGreaterThan(0);
    const whole = await explain(db.manager(), 'SELECT * FROM makers');
    expect([whole.hasSort, whole.buffers]).toEqual([false, 0]);
  });

  it('captures what a DataSource sends', async () => {
    const sent = await captureStatements(db.dataSource(), () => db.dataSource().query('SELECT 7'));
    expect(sent.map(({ text }) => text)).toEqual(['SELECT 7']);
  });
});
