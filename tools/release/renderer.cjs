// The changelog entry of a package. Nx sees that a commit touched the layer project activity-drivers, not that its files are
// shipped in @hoc/activity: without this the entry of every package is empty.
const { default: DefaultChangelogRenderer } = require('nx/release/changelog-renderer');

module.exports = class PackageChangelogRenderer extends DefaultChangelogRenderer {
  /** A change of a nested layer project is a change of its package. */
  filterChanges(changes, project) {
    if (project === null) return changes;
    const domain = project.split('/')[1];
    const own = (name) => name === project || name.startsWith(`${domain}-`);
    return changes.filter(({ affectedProjects }) => affectedProjects === '*' || affectedProjects?.some(own));
  }
};
