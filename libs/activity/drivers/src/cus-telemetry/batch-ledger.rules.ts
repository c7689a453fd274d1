import type { UsageBatchOutcome } from '@hoc/activity/schemas';
import type { UsageRecord } from './usage-record.rules';

type Identified = UsageRecord & { readonly id: string };

/** What has become of each record of a batch, and what has not been settled yet. */
export interface BatchLedger {
  /** The first record of each call id, in call-id order. */
  readonly leaders: readonly Identified[];
  /** All records. */
  readonly records: readonly Identified[];
  readonly leads: (record: Identified) => boolean;
  /** The leaders of these call ids were inserted. */
  readonly created: (callIds: readonly string[]) => void;
  /** These records met a stored call: of the same content, or of another one. */
  readonly compared: (rows: readonly { readonly index: number; readonly id: string; readonly same: boolean }[]) => void;
  /** Records of the leaders' call ids, leaders and later ones, that have no outcome yet. */
  readonly unsettledOf: (leaders: readonly Identified[]) => readonly Identified[];
  /** In input order. */
  readonly outcomes: () => readonly UsageBatchOutcome[];
}

/** A ledger of records in input order; `compare` is the order of the database's keys. */
export function openLedger(records: readonly Identified[], compare: (a: string, b: string) => number): BatchLedger {
  const byCall = new Map<string, Identified[]>();
  for (const record of records) {
    const same = byCall.get(record.callId);
    if (same === undefined) byCall.set(record.callId, [record]);
    else same.push(record);
  }
  const groupOf = (callId: string): readonly Identified[] => byCall.get(callId) ?? [];
  const outcomes = new Map<number, UsageBatchOutcome>();
  const settle = (record: Identified, status: UsageBatchOutcome['status'], id: string | null): void => {
    outcomes.set(record.index, Object.freeze({ index: record.index, callId: record.callId, status, id }));
  };
  const at = new Map(records.map((record) => [record.index, record]));
  return {
    leaders: [...byCall.keys()].sort(compare).flatMap((callId) => groupOf(callId).slice(0, 1)),
    records,
    leads: (record) => groupOf(record.callId)[0] === record,
    created: (callIds) => {
      for (const callId of callIds)
        for (const leader of groupOf(callId).slice(0, 1)) settle(leader, 'created', leader.id);
    },
    compared: (rows) => {
      for (const { index, id, same } of rows) {
        const record = at.get(index);
        if (record !== undefined) settle(record, same ? 'duplicate' : 'conflict', same ? id : null);
      }
    },
    unsettledOf: (leaders) =>
      leaders.flatMap((leader) => groupOf(leader.callId)).filter((record) => !outcomes.has(record.index)),
    outcomes: () => Object.freeze(records.flatMap((record) => outcomes.get(record.index) ?? [])),
  };
}
