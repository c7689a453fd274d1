import type { NewUsage } from '@hoc/activity/schemas';
import type { DecimalString } from '@hoc/shared/kernel';
import { compareBytes } from '@hoc/shared/drivers';
import { openLedger } from './batch-ledger.rules';
import { copyBlocks, copyLine } from './copy-usage.driver';
import { toUsageRecords } from './usage-record.rules';

const NOW = new Date('2026-03-10T12:00:00Z');
const ledgerOf = (count: number, errorMessage = 'x') => {
  const usages = Array.from({ length: count }, (_, n): NewUsage => ({
    integrationId: 'int-1',
    callId: `c-${n % 9000}`,
    provider: 'p',
    model: 'm',
    tokensIn: n,
    tokensOut: 0,
    costCents: '0.5' as DecimalString,
    errorCode: 'e',
    errorMessage,
  }));
  return openLedger(toUsageRecords(usages, { next: () => 'id' }, NOW), compareBytes);
};

describe('copyLine', () => {
  it('escapes what COPY would read as something else; null is \\N, and no text is', () => {
    const [record] = ledgerOf(1, 'a\tb\\N\nc\rd').records;
    expect(record && copyLine(record, true)).toBe(
      'id\tint-1\t\\N\t\\N\tc-0\tp\tm\t0\t0\t0.5\t\\N\tallowed\te\ta\\tb\\\\N\\nc\\rd\t{}\t\\N\t0\ttrue\n',
    );
  });
});

describe('copyBlocks', () => {
  it('is all lines in order, in few pieces', () => {
    const ledger = ledgerOf(10_000);
    const blocks = [...copyBlocks(ledger)];
    expect(blocks.join('')).toBe(ledger.records.map((record) => copyLine(record, record.index < 9000)).join(''));
    expect(blocks.length).toBeLessThan(20);
    expect(Math.max(...blocks.map(({ length }) => length))).toBeLessThan(70_000);
  });
  it('a call without a line is none', () => {
    expect([...copyBlocks(ledgerOf(0))]).toEqual([]);
  });
});
