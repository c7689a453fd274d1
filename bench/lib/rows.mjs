// Deterministic calls: token counts spread as in the public trace, every value a function of its place.

/** `count` calls; those of another prefix are others. */
export function usages(prefix, count) {
  return Array.from({ length: count }, (_, n) => ({
    integrationId: 'i',
    sessionId: `session-${n % 50}`,
    agentId: `agent-${n % 7}`,
    // Not in the order of the key, as senders' calls are not.
    callId: `${prefix}-${String((n * 7919) % count).padStart(6, '0')}`,
    provider: 'openai',
    model: n % 3 ? 'gpt-4o' : 'gpt-4o-mini',
    tokensIn: 20 + ((n * 37) % 4000),
    tokensOut: 5 + ((n * 13) % 700),
    costCents: `${(n % 40) + 1}.${String((n % 900) + 100)}1`,
    latencyMs: 100 + (n % 3000),
    policyResult: 'allowed',
    metadata: { dataset: 'bench', line: n },
    occurredAt: new Date(1_700_000_000_000 + (n % 3) * 86_400_000 + n),
  }));
}

/** Columns of `cus_llm_usage` in the order of {@link valuesOf}. */
export const COLUMNS = [
  ...[
    'tenant_id',
    'id',
    'integration_id',
    'session_id',
    'agent_id',
    'call_id',
    'provider',
    'model',
    'tokens_in',
    'tokens_out',
  ],
  ...[
    'cost_cents',
    'latency_ms',
    'policy_result',
    'error_code',
    'error_message',
    'metadata',
    'created_at',
    'recorded_at',
  ],
];
export const TYPES = [
  ...['text', 'text', 'text', 'text', 'text', 'text', 'text', 'text', 'bigint', 'bigint'],
  ...['numeric', 'integer', 'text', 'text', 'text', 'jsonb', 'timestamptz', 'timestamptz'],
];

/** One call as the values of its row. */
export function valuesOf(usage) {
  const at = usage.occurredAt.toISOString();
  return [
    ...[
      't',
      `id-${usage.callId}`,
      usage.integrationId,
      usage.sessionId,
      usage.agentId,
      usage.callId,
      usage.provider,
      usage.model,
    ],
    ...[usage.tokensIn, usage.tokensOut, usage.costCents, usage.latencyMs, usage.policyResult, null, null],
    ...[JSON.stringify(usage.metadata), at, at],
  ];
}

/** The daily share of some calls, added up in JavaScript: what an ORM without a roll-up statement does. */
export function daySums(rows) {
  const days = new Map();
  for (const usage of rows) {
    const date = usage.occurredAt.toISOString().slice(0, 10);
    const day = days.get(date) ?? { date, calls: 0, tokensIn: 0, tokensOut: 0, micro: 0n, latency: 0 };
    day.calls += 1;
    day.tokensIn += usage.tokensIn;
    day.tokensOut += usage.tokensOut;
    day.micro += BigInt(Math.round(Number(usage.costCents) * 1_000_000));
    day.latency += usage.latencyMs;
    days.set(date, day);
  }
  return [...days.values()]
    .sort((a, b) => (a.date < b.date ? -1 : 1))
    .map(({ micro, ...day }) => ({
      ...day,
      cost: `${micro / 1_000_000n}.${String(micro % 1_000_000n).padStart(6, '0')}`,
    }));
}
