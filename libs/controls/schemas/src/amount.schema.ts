import { type DecimalString, invalid, toMoney } from '@hoc/shared/kernel';

/**
 * A caller's amount: a text of at most 14 integer and 6 fraction digits, in canonical form. A number is refused, for 0.1 is
 * none of its values, and so is any sign: `-0` is no way to say nothing.
 * @throws InvalidArgumentError naming `field`
 */
export function assertAmount(value: unknown, field: string): DecimalString {
  if (typeof value !== 'string' || value.startsWith('-'))
    throw invalid(field, 'decimal', `${field} must be a decimal text of at most 14 integer and 6 fraction digits`);
  return toMoney(value, field);
}
