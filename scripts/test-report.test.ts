/** Which files a test report says to have failed. */
import { expect, test } from 'bun:test';
import { readTestReport } from './test-report.ts';

const REPORT = `<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="bun test" tests="4" failures="2">
  <testsuite name="src/a.test.ts" file="src/a.test.ts" tests="2" failures="2">
    <testcase name="one" classname="" time="0.1" file="src/a.test.ts" line="2" assertions="1">
      <failure type="AssertionError" message="expected &lt;failure &#10;">text</failure>
    </testcase>
    <testcase name="two" classname="" time="0.1" file="src/a.test.ts" line="4" assertions="1">
      <failure type="Error" message="late"></failure>
    </testcase>
  </testsuite>
  <testsuite name="src/b.test.ts" file="src/b.test.ts" tests="1" failures="0">
    <testcase name="good" classname="" time="0.1" file="src/b.test.ts" line="2" assertions="1" />
  </testsuite>
</testsuites>`;

test('failures are counted and belong to their files', () => {
  expect(readTestReport(REPORT)).toEqual({ failedFiles: ['src/a.test.ts'], failures: 2 });
});

test('a report without failures names no file', () => {
  expect(readTestReport('<testsuites />')).toEqual({ failedFiles: [], failures: 0 });
});
