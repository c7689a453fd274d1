import type { PriceEntry, PriceTable } from '@hoc/activity/schemas';
import {
  addDecimal,
  type DecimalString,
  deepFreeze,
  divideDecimal,
  HocError,
  idFault,
  InvalidArgumentError,
  type IsoDate,
  multiplyDecimal,
  toDecimalString,
  toIsoDate,
  toMoney,
} from '@hoc/shared/kernel';

const TABLE_MAX_BYTES = 1_048_576;
const MILLION = '1000000' as DecimalString;
const KEYS = ['provider', 'model', 'effective_from', 'input_cents_per_million', 'output_cents_per_million'] as const;

/**
 * A price table from its JSON, at most 1 MiB:
 * `{"version":1,"prices":[{"provider","model","effective_from","input_cents_per_million","output_cents_per_million"}]}`.
 * Prices are cents as decimal text or integers, not negative.
 * @throws InvalidArgumentError whose `details.field` is the path: for unknown keys, another version, an empty list, the
 * same provider, model and day twice
 */
export function parsePriceTable(text: string): PriceTable {
  const table = asObject(parseJson(text), 'prices');
  refuseUnknown(table, ['version', 'prices'], '');
  if (table['version'] !== 1) throw refused('version', 'the version of a price table is 1');
  const list = table['prices'];
  if (!Array.isArray(list) || list.length === 0) throw refused('prices', 'a price table has at least one price');
  const entries = list.map((entry: unknown, index) => parseEntry(entry, `prices[${index}]`));
  refuseDoubles(entries);
  return priceTable(entries);
}

/** A table of entries that were checked elsewhere, in code for example. */
export function priceTable(entries: readonly PriceEntry[]): PriceTable {
  const newestFirst = [...entries].sort((a, b) => (a.effectiveFrom < b.effectiveFrom ? 1 : -1));
  const best = (provider: string, model: string, day: IsoDate): PriceEntry | undefined =>
    newestFirst.find((e) => e.provider === provider && e.model === model && e.effectiveFrom <= day);
  return Object.freeze({
    entries: deepFreeze([...entries]),
    find: (provider: string, model: string, day: IsoDate) =>
      best(provider, model, day) ?? best(provider, '*', day) ?? null,
  });
}

/** Cents of one call: exact, rounded once, half up at the sixth decimal. */
export function costCents(entry: PriceEntry, tokensIn: number, tokensOut: number): DecimalString {
  const input = multiplyDecimal(toDecimalString(tokensIn), entry.inputCentsPerMillion);
  const output = multiplyDecimal(toDecimalString(tokensOut), entry.outputCentsPerMillion);
  return divideDecimal(addDecimal(input, output), MILLION);
}

function parseEntry(value: unknown, path: string): PriceEntry {
  const entry = asObject(value, path);
  refuseUnknown(entry, KEYS, `${path}.`);
  const at = <T>(key: (typeof KEYS)[number], read: (member: unknown) => T): T => {
    try {
      return read(entry[key]);
    } catch (error) {
      if (HocError.is(error)) throw refused(`${path}.${key}`, error.message);
      throw error;
    }
  };
  const name = (max: number) => (member: unknown) => {
    if (idFault(member, max) !== null) throw refused(path, `a name of 1 to ${max} characters is required`);
    return member as string;
  };
  const price = (member: unknown): DecimalString => {
    if (typeof member !== 'string' && typeof member !== 'number') throw refused(path, 'a price is required');
    return toMoney(member, 'price');
  };
  return {
    provider: at('provider', name(50)),
    model: at('model', name(100)),
    effectiveFrom: at('effective_from', (member) => toIsoDate(member as string, 'effective_from')),
    inputCentsPerMillion: at('input_cents_per_million', price),
    outputCentsPerMillion: at('output_cents_per_million', price),
  };
}

function parseJson(text: string): unknown {
  if (typeof text !== 'string' || text.length > TABLE_MAX_BYTES || Buffer.byteLength(text) > TABLE_MAX_BYTES)
    throw refused('prices', 'a price table is a JSON text of at most 1 MiB');
  try {
    return JSON.parse(text);
  } catch {
    throw refused('prices', 'the price table is not JSON');
  }
}

function asObject(value: unknown, path: string): Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw refused(path, 'an object is required');
  return value as Readonly<Record<string, unknown>>;
}

function refuseUnknown(value: object, known: readonly string[], path: string): void {
  const unknown = Object.keys(value).find((key) => !known.includes(key));
  if (unknown !== undefined) throw refused(`${path}${unknown.slice(0, 100)}`, 'unknown key in the price table');
}

function refuseDoubles(entries: readonly PriceEntry[]): void {
  const seen = new Set<string>();
  entries.forEach(({ provider, model, effectiveFrom }, index) => {
    const key = JSON.stringify([provider, model, effectiveFrom]);
    if (seen.has(key)) throw refused(`prices[${index}]`, 'a provider, model and day stands twice');
    seen.add(key);
  });
}

const refused = (path: string, message: string): InvalidArgumentError =>
  new InvalidArgumentError(`price table, ${path}: ${message}`, { details: { field: path, reason: 'price_table' } });
