/** Lets TypeScript know that importing an SQL file as text gives its contents. */
declare module '*.sql' {
  const text: string;
  export default text;
}
