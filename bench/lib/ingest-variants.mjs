// The same job in each library's own way: look up or ignore what is known, insert the rest, add exactly that to the days.
import 'reflect-metadata';
import { CusLlmUsageEntity } from '@hoc/shared/models';
import { createRequire } from 'node:module';
import { execFileSync, spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { COLUMNS, daySums, TYPES, valuesOf } from './rows.mjs';

const require = createRequire(import.meta.url);

const DAILY = `
  INSERT INTO cus_usage_daily AS d (tenant_id, integration_id, date, total_calls, total_tokens_in, total_tokens_out, total_cost_cents,
    latency_total_ms, latency_count, error_count, blocked_count, updated_at)`;
const ADD = `
  ON CONFLICT (tenant_id, integration_id, date) DO UPDATE SET total_calls = d.total_calls + EXCLUDED.total_calls,
    total_tokens_in = d.total_tokens_in + EXCLUDED.total_tokens_in, total_tokens_out = d.total_tokens_out + EXCLUDED.total_tokens_out,
    total_cost_cents = d.total_cost_cents + EXCLUDED.total_cost_cents, latency_total_ms = d.latency_total_ms + EXCLUDED.latency_total_ms,
    latency_count = d.latency_count + EXCLUDED.latency_count, error_count = d.error_count + EXCLUDED.error_count,
    blocked_count = d.blocked_count + EXCLUDED.blocked_count`;
const rollUp = (source) => `${DAILY}
  SELECT tenant_id, integration_id, (created_at AT TIME ZONE 'UTC')::date, count(*), sum(tokens_in), sum(tokens_out), sum(cost_cents),
    sum(latency_ms), count(latency_ms), count(error_code), count(*) FILTER (WHERE policy_result = 'blocked'), now()
  FROM ${source} GROUP BY 1, 2, 3 ORDER BY 1, 2, 3 ${ADD}`;

/** One statement by hand: no argument is checked, no content compared. The base. */
export const UNNEST_CTE = `WITH inserted AS (
  INSERT INTO cus_llm_usage (${COLUMNS.join(', ')})
  SELECT * FROM unnest(${TYPES.map((type, n) => `$${n + 1}::${type}[]`).join(', ')}) AS u(${COLUMNS.join(', ')}) ORDER BY u.call_id
  ON CONFLICT (tenant_id, call_id) DO NOTHING RETURNING *
), daily AS (${rollUp('inserted')}) SELECT id, call_id FROM inserted`;

export const byHand = (client) => async (rows) => {
  const values = rows.map(valuesOf);
  await client.query('BEGIN');
  await client.query({
    name: 'unnest-cte',
    text: UNNEST_CTE,
    values: COLUMNS.map((_, n) => values.map((row) => row[n])),
  });
  await client.query('COMMIT');
};

/** What the packages' user calls. */
export const byHoc = (hoc) => (rows) => hoc.transaction(({ activity }) => activity.telemetry.ingestImported('t', rows));

const DAILY_ROW = `${DAILY} VALUES ('t', 'i', $1, $2, $3, $4, $5, $6, $2, 0, 0, now()) ${ADD}`;
const dailyValues = ({ date, calls, tokensIn, tokensOut, cost, latency }) => [
  date,
  calls,
  tokensIn,
  tokensOut,
  cost,
  latency,
];

const entityOf = (usage) => ({
  tenantId: 't',
  id: `id-${usage.callId}`,
  ...usage,
  errorCode: null,
  errorMessage: null,
  createdAt: usage.occurredAt,
  recordedAt: usage.occurredAt,
});

/** TypeORM `save()`: known ids are looked up, the rest is saved. */
export const byTypeormSave = (source) => {
  return (rows) =>
    source.transaction(async (m) => {
      const repository = m.getRepository(CusLlmUsageEntity);
      const { In } = require('typeorm');
      const known = await repository.find({
        select: { callId: true },
        where: { tenantId: 't', callId: In(rows.map((u) => u.callId)) },
      });
      const ids = new Set(known.map((row) => row.callId));
      const fresh = rows.filter((usage) => !ids.has(usage.callId));
      await repository.save(fresh.map((usage) => repository.create(entityOf(usage))));
      for (const day of daySums(fresh)) await m.query(DAILY_ROW, dailyValues(day));
    });
};

/** TypeORM's query builder: insert or ignore, returning what was new; at most 65,535 parameters a statement. */
export const byTypeormBuilder = (source) => {
  return (rows) =>
    source.transaction(async (m) => {
      const fresh = [];
      for (let at = 0; at < rows.length; at += 3000) {
        const chunk = rows.slice(at, at + 3000);
        const { raw } = await m
          .createQueryBuilder()
          .insert()
          .into(CusLlmUsageEntity)
          .values(chunk.map(entityOf))
          .orIgnore()
          .returning(['callId'])
          .execute();
        const ids = new Set(raw.map((row) => row.call_id));
        fresh.push(...chunk.filter((usage) => ids.has(usage.callId)));
      }
      for (const day of daySums(fresh)) await m.query(DAILY_ROW, dailyValues(day));
    });
};

const rowObject = (usage) => Object.fromEntries(valuesOf(usage).map((value, n) => [COLUMNS[n], value]));

/** Kysely: insert or ignore, returning what was new. */
export function byKysely(pool) {
  const { Kysely, PostgresDialect, sql } = require('kysely');
  const db = new Kysely({ dialect: new PostgresDialect({ pool }) });
  return (rows) =>
    db.transaction().execute(async (tx) => {
      const fresh = [];
      for (let at = 0; at < rows.length; at += 3000) {
        const chunk = rows.slice(at, at + 3000);
        const inserted = await tx
          .insertInto('cus_llm_usage')
          .values(chunk.map(rowObject))
          .onConflict((c) => c.columns(['tenant_id', 'call_id']).doNothing())
          .returning('call_id')
          .execute();
        const ids = new Set(inserted.map((row) => row.call_id));
        fresh.push(...chunk.filter((usage) => ids.has(usage.callId)));
      }
      for (const day of daySums(fresh)) {
        const [date, calls, tokensIn, tokensOut, cost, latency] = dailyValues(day);
        await sql`${sql.raw(DAILY)} VALUES ('t', 'i', ${date}, ${calls}, ${tokensIn}, ${tokensOut}, ${cost}, ${latency}, ${calls}, 0, 0, now()) ${sql.raw(ADD)}`.execute(
          tx,
        );
      }
    });
}

/** Drizzle: the same. */
export function byDrizzle(pool) {
  const { drizzle } = require('drizzle-orm/node-postgres');
  const { sql } = require('drizzle-orm');
  const core = require('drizzle-orm/pg-core');
  const kinds = {
    text: core.text,
    bigint: (name) => core.bigint(name, { mode: 'number' }),
    numeric: core.numeric,
    integer: core.integer,
    jsonb: core.jsonb,
    timestamptz: (name) => core.timestamp(name, { withTimezone: true, mode: 'string' }),
  };
  const table = core.pgTable(
    'cus_llm_usage',
    Object.fromEntries(COLUMNS.map((name, n) => [name, kinds[TYPES[n]](name)])),
  );
  const db = drizzle(pool);
  return (rows) =>
    db.transaction(async (tx) => {
      const fresh = [];
      for (let at = 0; at < rows.length; at += 3000) {
        const chunk = rows.slice(at, at + 3000);
        const values = chunk.map((usage) => ({ ...rowObject(usage), metadata: usage.metadata }));
        const inserted = await tx
          .insert(table)
          .values(values)
          .onConflictDoNothing()
          .returning({ callId: table.call_id });
        const ids = new Set(inserted.map((row) => row.callId));
        fresh.push(...chunk.filter((usage) => ids.has(usage.callId)));
      }
      for (const day of daySums(fresh)) {
        const [date, calls, tokensIn, tokensOut, cost, latency] = dailyValues(day);
        await tx.execute(
          sql`${sql.raw(DAILY)} VALUES ('t', 'i', ${date}, ${calls}, ${tokensIn}, ${tokensOut}, ${cost}, ${latency}, ${calls}, 0, 0, now()) ${sql.raw(ADD)}`,
        );
      }
    });
}

/** MikroORM: known ids are looked up, the rest persisted and flushed. */
export async function byMikroOrm(url) {
  const { MikroORM, EntitySchema } = require('@mikro-orm/postgresql');
  const mikro = {
    text: 'text',
    bigint: 'bigint',
    numeric: 'decimal',
    integer: 'integer',
    jsonb: 'json',
    timestamptz: 'datetime',
  };
  const properties = Object.fromEntries(
    COLUMNS.map((name, n) => [
      name,
      { type: mikro[TYPES[n]], fieldName: name, nullable: true, primary: name === 'tenant_id' || name === 'id' },
    ]),
  );
  const Usage = new EntitySchema({ name: 'Usage', tableName: 'cus_llm_usage', properties });
  const orm = await MikroORM.init({
    clientUrl: url,
    entities: [Usage],
    discovery: { warnWhenNoEntities: false },
    pool: { min: 1, max: 4 },
  });
  const ingest = (rows) =>
    orm.em.fork().transactional(async (em) => {
      const found = await em.find(
        Usage,
        { tenant_id: 't', call_id: { $in: rows.map((u) => u.callId) } },
        { fields: ['call_id'] },
      );
      const ids = new Set(found.map((row) => row.call_id));
      const fresh = rows.filter((usage) => !ids.has(usage.callId));
      for (const usage of fresh)
        em.persist(
          em.create(Usage, {
            ...rowObject(usage),
            metadata: usage.metadata,
            created_at: usage.occurredAt,
            recorded_at: usage.occurredAt,
          }),
        );
      await em.flush();
      for (const day of daySums(fresh))
        await em
          .getConnection()
          .execute(DAILY_ROW.replace(/\$(\d)/g, '?'), mikroValues(day), 'run', em.getTransactionContext());
    });
  return { ingest, close: () => orm.close() };
}
const mikroValues = (day) => {
  const [date, calls, tokensIn, tokensOut, cost, latency] = dailyValues(day);
  return [date, calls, tokensIn, tokensOut, cost, latency, calls];
};

/** Why there is no row of Prisma: its client is generated, and not among the installed peers. */
export function prismaSkip() {
  try {
    require.resolve('@prisma/client');
    return 'no generated client: run prisma generate in bench/';
  } catch {
    return '@prisma/client is not installed (its generator wants to download an engine)';
  }
}

/** Why there is no row of the Python original. */
export function pythonSkip() {
  const python = process.env.BENCH_PYTHON ?? 'python3';
  try {
    execFileSync(python, ['-c', 'import sqlalchemy, asyncpg'], { stdio: 'ignore' });
    return null;
  } catch {
    return `${python === 'python3' ? 'python3' : 'BENCH_PYTHON'} has no sqlalchemy with asyncpg`;
  }
}

/** COPY into a bare table without a key: the outermost limit. */
export function byPsql(url, folder) {
  return (rows) => {
    const file = join(folder, 'rows.tsv');
    const line = (usage) =>
      valuesOf(usage)
        .map((value) => (value === null ? '\\N' : String(value)))
        .join('\t');
    writeFileSync(file, `${rows.map(line).join('\n')}\n`);
    return () => {
      const run = spawnSync('psql', [url, '-qc', `\\copy bare FROM '${file}'`], { encoding: 'utf8' });
      if (run.error || run.status !== 0) throw new Error(run.stderr || 'psql failed');
    };
  };
}
