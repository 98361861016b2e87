/** The WebUI's pages that a tour visits, and the refusals that belong to a page. */

/** Pages of everybody. */
const COMMON_PAGES = [
  '/start',
  '/dashboard',
  '/session',
  '/session/start',
  '/data',
  '/my-environment',
  '/agent-summary',
  '/statistics',
  '/usersettings',
  '/usersettings?tab=logs',
  '/information',
];

export const USER_PAGES: readonly string[] = COMMON_PAGES;

/** Pages of superadmins, their tabs included. */
export const ADMIN_PAGES: readonly string[] = [
  ...COMMON_PAGES,
  '/admin-dashboard',
  '/admin-session',
  '/admin-data',
  '/scheduler',
  '/credential',
  '/credential?tab=credentials',
  '/credential?tab=inactive',
  '/project',
  '/resource-policy',
  '/resource-policy?tab=user',
  '/resource-policy?tab=project',
  '/environment',
  '/environment?tab=preset',
  '/environment?tab=registry',
  '/agent',
  '/agent?tab=storages',
  '/agent?tab=scalingGroup',
  '/rbac',
  '/settings',
  '/maintenance',
  '/diagnostics',
];

/** What a role is refused by design, though the page asks for it. */
const EXPECTED: readonly [role: string, RegExp][] = [
  // Every page lists storage volumes, which only administrators may see.
  ['user', /storage_volume_list/],
  // Debian's notebook names an extension that another package brings.
  ['user', /nbextensions\/widgets/],
  // The open edition has no licence to show.
  ['superadmin', /^GET \/func\/license 404/],
];

/** Whether a complaint belongs to the page. */
export const isExpected = (role: string, complaint: string): boolean =>
  EXPECTED.some(([who, pattern]) => who === role && pattern.test(complaint));
