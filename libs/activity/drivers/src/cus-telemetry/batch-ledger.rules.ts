import type { UsageBatchOutcome } from '@hoc/activity/schemas';
import type { UsageRecord } from './usage-record.rules';

/** What has become of each record of a batch, and what has not been settled yet. */
export interface BatchLedger {
  /** The first record of each call id, in call-id order. */
  readonly leaders: readonly UsageRecord[];
  /** All records. */
  readonly records: readonly UsageRecord[];
  readonly leads: (record: UsageRecord) => boolean;
  /** Whether some record is a later one of its call id. */
  readonly hasFollowers: boolean;
  /** Of these leaders those with one of the call ids were inserted; null: all of them. */
  readonly created: (leaders: readonly UsageRecord[], callIds: readonly string[] | null) => void;
  /** These records met a stored call: of the same content, or of another one. */
  readonly compared: (rows: readonly { readonly index: number; readonly id: string; readonly same: boolean }[]) => void;
  /** Records of the leaders' call ids, leaders and later ones, that have no outcome yet. */
  readonly unsettledOf: (leaders: readonly UsageRecord[]) => readonly UsageRecord[];
  /** In input order. */
  readonly outcomes: () => readonly UsageBatchOutcome[];
}

/** A ledger of records in input order; `compare` is the order of the database's keys. */
export function openLedger(records: readonly UsageRecord[], compare: (a: string, b: string) => number): BatchLedger {
  const leaderOf = new Map<string, UsageRecord>();
  /** Later records of a call id: most batches have none. */
  const followersOf = new Map<string, UsageRecord[]>();
  for (const record of records) {
    if (!leaderOf.has(record.callId)) leaderOf.set(record.callId, record);
    else {
      const followers = followersOf.get(record.callId);
      if (followers === undefined) followersOf.set(record.callId, [record]);
      else followers.push(record);
    }
  }
  const outcomes: (UsageBatchOutcome | undefined)[] = new Array<undefined>(records.length).fill(undefined);
  const settle = (record: UsageRecord, status: UsageBatchOutcome['status'], id: string | null): void => {
    outcomes[record.index] = Object.freeze({ index: record.index, callId: record.callId, status, id });
  };
  const isOpen = (record: UsageRecord): boolean => outcomes[record.index] === undefined;
  return {
    leaders: [...leaderOf.values()].sort((a, b) => compare(a.callId, b.callId)),
    records,
    leads: (record) => followersOf.size === 0 || leaderOf.get(record.callId) === record,
    hasFollowers: followersOf.size > 0,
    created: (leaders, callIds) => {
      const inserted = callIds === null ? null : new Set(callIds);
      for (const leader of leaders)
        if (inserted === null || inserted.has(leader.callId)) settle(leader, 'created', leader.id);
    },
    compared: (rows) => {
      for (const { index, id, same } of rows) {
        const record = records[index];
        if (record !== undefined) settle(record, same ? 'duplicate' : 'conflict', same ? id : null);
      }
    },
    unsettledOf: (leaders) => [
      ...leaders.filter(isOpen),
      ...(followersOf.size === 0 ? [] : leaders.flatMap(({ callId }) => followersOf.get(callId) ?? []).filter(isOpen)),
    ],
    outcomes: () => Object.freeze(outcomes.filter((outcome) => outcome !== undefined)),
  };
}
