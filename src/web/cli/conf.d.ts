/** Lets TypeScript know that importing a .conf file as text gives its contents. */
declare module '*.conf' {
  const text: string;
  export default text;
}
