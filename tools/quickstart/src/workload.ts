import type { NewUsage } from '@hoc/activity/schemas';
import { costCents, priceTable } from '@hoc/activity';
import { type CusProviderType, toIsoDate } from '@hoc/shared/kernel';

/** A tenant's integration and the calls that went over it. */
export interface WorkloadPart {
  readonly tenantId: string;
  readonly integrationId: string;
  readonly providerType: CusProviderType;
  readonly usages: readonly NewUsage[];
}

interface Shape {
  readonly tenantId: string;
  readonly integrationId: string;
  readonly providerType: CusProviderType;
  readonly models: readonly string[];
  readonly callsPerDay: number;
}

/** The first midnight (UTC) of the workload. */
export const FIRST_DAY = Date.parse('2025-11-01T00:00:00.000Z');
/** Days of the workload. */
export const WORKLOAD_DAYS = 14;
const DAY_MS = 86_400_000;

const SHAPES: readonly Shape[] = [
  {
    tenantId: 'acme',
    integrationId: 'support-bot',
    providerType: 'openai',
    models: ['gpt-4o', 'gpt-4o-mini'],
    callsPerDay: 420,
  },
  {
    tenantId: 'acme',
    integrationId: 'code-review',
    providerType: 'anthropic',
    models: ['claude-sonnet'],
    callsPerDay: 260,
  },
  {
    tenantId: 'globex',
    integrationId: 'search',
    providerType: 'azure_openai',
    models: ['gpt-4', 'gpt-4o-mini'],
    callsPerDay: 380,
  },
  {
    tenantId: 'globex',
    integrationId: 'nightly-batch',
    providerType: 'bedrock',
    models: ['claude-haiku'],
    callsPerDay: 180,
  },
  { tenantId: 'initech', integrationId: 'reports', providerType: 'openai', models: ['gpt-4o'], callsPerDay: 190 },
];

const from = toIsoDate('2025-01-01');
const price = (provider: string, model: string, input: string, output: string) => ({
  provider,
  model,
  effectiveFrom: from,
  inputCentsPerMillion: input as never,
  outputCentsPerMillion: output as never,
});

/** Made-up prices in cents per million tokens. */
const PRICES = priceTable([
  price('openai', 'gpt-4o', '250', '1000'),
  price('openai', 'gpt-4o-mini', '15', '60'),
  price('azure_openai', 'gpt-4', '3000', '6000'),
  price('azure_openai', '*', '15', '60'),
  price('anthropic', '*', '300', '1500'),
  price('bedrock', '*', '80.5', '400.25'),
]);

/** About 20,000 calls over three tenants, five integrations, several models and two weeks: a pure function of the seed. */
export function generateWorkload(seed: number): readonly WorkloadPart[] {
  const random = mulberry32(seed);
  return SHAPES.map((shape) => ({
    tenantId: shape.tenantId,
    integrationId: shape.integrationId,
    providerType: shape.providerType,
    usages: Array.from({ length: WORKLOAD_DAYS }, (_, day) => dayOf(shape, day, seed, random)).flat(),
  }));
}

function dayOf(shape: Shape, day: number, seed: number, random: () => number): readonly NewUsage[] {
  // Weekends are quieter, and no two days are alike.
  const weekday = new Date(FIRST_DAY + day * DAY_MS).getUTCDay();
  const quiet = weekday === 0 || weekday === 6 ? 0.6 : 1.15;
  const calls = Math.round(shape.callsPerDay * quiet * (0.9 + 0.2 * random()));
  return Array.from({ length: calls }, (_, n) => callOf(shape, { day, n, seed }, random));
}

function callOf(
  { integrationId, providerType, models }: Shape,
  { day, n, seed }: { readonly day: number; readonly n: number; readonly seed: number },
  random: () => number,
): NewUsage {
  const at = new Date(FIRST_DAY + day * DAY_MS + Math.floor(random() * DAY_MS));
  const model = models[Math.floor(random() * models.length)] ?? 'gpt-4o';
  const [tokensIn, tokensOut] = [50 + Math.floor(3000 * random() ** 2), 5 + Math.floor(600 * random() ** 2)];
  const entry = PRICES.find(providerType, model, toIsoDate(at.toISOString().slice(0, 10)));
  if (entry === null) throw new Error(`the workload has no price of ${providerType} ${model}`);
  const failed = random() < 0.02;
  const blocked = !failed && random() < 0.01;
  return {
    integrationId,
    callId: `workload-${seed}-${integrationId}-${day}-${n}`,
    provider: providerType,
    model,
    tokensIn,
    tokensOut: failed || blocked ? 0 : tokensOut,
    costCents: costCents(entry, tokensIn, failed || blocked ? 0 : tokensOut),
    latencyMs: 120 + Math.floor(4000 * random() ** 3),
    policyResult: blocked ? 'blocked' : 'allowed',
    ...(failed ? { errorCode: 'timeout' } : {}),
    occurredAt: at,
  };
}

/** A small generator of good distribution: the workload needs the same numbers everywhere, not secrets. */
export function mulberry32(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}
