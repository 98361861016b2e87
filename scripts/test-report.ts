/** Reads the JUnit report of `bun test`: which files failed, and whether it accounts for every failure. */

export interface TestReport {
  /** Paths of the test files with at least one failure, in the order of the report. */
  readonly failedFiles: readonly string[];
  /** How many failures the report holds. A file that could not even be loaded is not among them. */
  readonly failures: number;
}

/** @param xml the report that `bun test --reporter=junit` wrote. */
export function readTestReport(xml: string): TestReport {
  const failedFiles = new Set<string>();
  let failures = 0;
  let file: string | null = null;
  for (const [, testFile] of xml.matchAll(/<testcase [^>]*?file="([^"]*)"|<failure /g)) {
    if (testFile !== undefined) {
      file = testFile;
      continue;
    }
    failures += 1;
    if (file !== null) failedFiles.add(file);
  }
  return { failedFiles: [...failedFiles], failures };
}
