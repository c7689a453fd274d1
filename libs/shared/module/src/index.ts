export * from '@hoc/shared/spine';
