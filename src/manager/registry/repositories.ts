/** Which repositories of a registry belong to a project: every kind of registry is asked differently. */
import * as v from 'valibot';
import { type OciClient, RegistryFailure } from './oci-client.ts';

const harborRepositories = v.array(v.object({ name: v.string() }));
const HARBOR_PAGE_SIZE = 100;

/**
 * Names of the repositories below a project, such as `stable/python`; of the whole registry when
 * `project` is empty.
 * @throws RegistryFailure also for kinds that cannot list; single images of those can be scanned.
 */
export async function repositoriesOf(
  client: OciClient,
  type: string,
  project: string,
): Promise<string[]> {
  switch (type) {
    case 'harbor2':
      return harborProject(client, project);
    case 'docker':
    case 'ocp': {
      const all = await client.repositories();
      return project === '' ? all : all.filter((name) => name.startsWith(`${project}/`));
    }
    default:
      throw new RegistryFailure(
        `The repositories of a registry of type '${type}' can't be listed; scan a single image ` +
          'by its full name instead.',
      );
  }
}

/** Harbor lists a project's repositories to those who may see the project only. */
async function harborProject(client: OciClient, project: string): Promise<string[]> {
  if (project === '') throw new RegistryFailure('A Harbor registry needs a project to scan.');
  const path = `/api/v2.0/projects/${encodeURIComponent(project)}/repositories`;
  const pages = await client.pagesOf(`${path}?page_size=${HARBOR_PAGE_SIZE}`);
  return pages.flatMap((page) => {
    const parsed = v.safeParse(harborRepositories, page);
    if (!parsed.success) throw new RegistryFailure('Harbor answered with no list of repositories.');
    return parsed.output.map(({ name }) => name);
  });
}
