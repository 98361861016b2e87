/** Arguments that name an owner of a share or of usage. */
import { argument, type PositionalSpec } from '../../common/command.ts';

/** By the names that the server gives them. */
export type Names = Readonly<Record<string, PositionalSpec<string>>>;

export const resourceGroup = argument('RESOURCE_GROUP', 'Name of the resource group.');
export const domain = argument('DOMAIN', 'Name of the domain.');
export const project = argument('PROJECT_ID', 'Id of the project.');
export const user = argument('USER_UUID', 'Id of the user.');
