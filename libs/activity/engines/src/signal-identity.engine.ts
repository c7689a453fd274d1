import { assertObject, canonicalJson, invalid, sha256Hex } from '@hoc/shared/kernel';

/** What makes a signal the same one tomorrow. */
export interface SignalIdentity {
  readonly signalType: string;
  /** What it is about, for example `run:run-1`. */
  readonly dimension: string;
  readonly source: string;
  readonly tenantId: string;
}

/**
 * 32 hex digits that name a signal: the same four parts give the same fingerprint in every process, others another one.
 * @throws InvalidArgumentError where a part is missing or empty
 */
export function computeSignalFingerprint(identity: SignalIdentity): string {
  const { signalType, dimension, source, tenantId } = computed(identity);
  return sha256Hex(canonicalJson({ signal_type: signalType, dimension, source, tenant_id: tenantId })).slice(0, 32);
}

/** {@link computeSignalFingerprint} of an object that has the four among other members. */
export const computeSignalFingerprintFromRow = (row: Readonly<Record<string, unknown>>): string =>
  computeSignalFingerprint(computed(row));

function computed(row: unknown): SignalIdentity {
  const given = assertObject(row, 'row');
  const part = (name: keyof SignalIdentity): string => {
    const value = given[name];
    if (typeof value !== 'string' || value === '') throw invalid(name, 'required', `${name} must be a text`);
    return value;
  };
  return {
    signalType: part('signalType'),
    dimension: part('dimension'),
    source: part('source'),
    tenantId: part('tenantId'),
  };
}
