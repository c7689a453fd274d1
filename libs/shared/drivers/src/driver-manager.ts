import type { EntityManager } from 'typeorm';

/**
 * What every driver works in: the caller's `EntityManager`. A driver never begins, commits or rolls back; the
 * unit of work belongs to the spine or to the consumer.
 */
export type DriverManager = EntityManager;
