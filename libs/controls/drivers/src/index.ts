export type { DriverManager } from '@hoc/shared/drivers';
