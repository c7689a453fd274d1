import { activityModule } from '@hoc/activity';
import { controlsModule } from '@hoc/controls';
import { createHoc } from '@hoc/shared';

/** The packages on one database, as any consumer app would bind them. */
export const openHoc = (url: string) =>
  createHoc({
    connection: { url, applicationName: 'hoc-quickstart', poolSize: 4 },
    modules: [activityModule, controlsModule],
  });

/** What the parts of the quickstart work with. */
export type App = ReturnType<typeof openHoc>;
