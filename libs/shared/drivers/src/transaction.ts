import { TransactionRequiredError } from '@hoc/shared/kernel';
import type { DriverManager } from './driver-manager';

/** Whether the manager's own query runner is in a transaction; a `DataSource`'s manager never is. */
export function isInTransaction(manager: DriverManager): boolean {
  return manager.queryRunner?.isTransactionActive === true;
}

/**
 * For calls that hold a lock over several statements, or need them all or none.
 * @throws TransactionRequiredError outside a transaction
 */
export function assertInTransaction(manager: DriverManager): void {
  if (!isInTransaction(manager))
    throw new TransactionRequiredError('this call needs an open transaction: wrap it with withTransaction');
}
