import { type DecimalString, divideDecimal } from '@hoc/shared/kernel';

const HUNDRED = '100' as DecimalString;

/** Exact cents as dollars, `$1,234.567`: at least two fraction digits, none lost. */
export function dollars(cents: DecimalString): string {
  const [whole = '0', fraction = ''] = divideDecimal(cents, HUNDRED, 8).split('.');
  return `$${grouped(whole)}.${fraction.padEnd(2, '0')}`;
}

/** `12,345,678`. */
export const grouped = (value: number | string): string => String(value).replace(/\B(?=(\d{3})+$)/g, ',');
