/**
 * Time zone abbreviations that may end a date header, with their distance from UTC. Where one name
 * means several zones the value is the one that clients of this API have always been given.
 */

/** Minutes east of UTC → space-separated abbreviations. */
const byOffset: Readonly<Record<string, string>> = {
  '-720': 'Y',
  '-660': 'X NUT SST',
  '-600': 'W CKT HAST HST TAHT TKT',
  '-570': 'MART MIT',
  '-540': 'V AKST GAMT GIT HADT HNY',
  '-480': 'U AKDT CIST HAY HNP PST PT',
  '-420': 'T HAP HNR MST PDT',
  '-360': 'S CST EAST GALT HAR HNC MDT',
  '-300': 'R CDT COT EASST ECT EST ET HAC HNE PET',
  '-270': 'HLV VET',
  '-240': 'Q AST BOT CLT COST EDT FKT GYT HAE HNA PYT',
  '-210': 'HNT NST NT',
  '-180': 'P ADT ART BRT CLST FKST GFT HAA PMST PYST SRT UYT WGT',
  '-150': 'HAT NDT',
  '-120': 'O BRST FNT PMDT UYST WGST',
  '-60': 'N AZOT CVT EGT',
  '0': 'Z EGST GMT UTC WET WT',
  '60': 'A CET DFT WAT WEDT WEST',
  '120': 'B CAT CEDT CEST EET SAST WAST',
  '180': 'C EAT EEDT EEST IDT MSK',
  '210': 'IRST',
  '240': 'D AMT AZT GET GST KUYT MSD MUT RET SAMT SCT',
  '270': 'AFT IRDT',
  '300': 'E AMST AQTT AZST HMT MAWT MVT PKT TFT TJT TMT UZT YEKT',
  '330': 'IST SLST',
  '345': 'NPT',
  '360': 'F ALMT BIOT BTT IOT KGT NOVT OMST YEKST',
  '390': 'CCT MMT',
  '420': 'G CXT DAVT HOVT ICT KRAT NOVST OMSST THA WIB',
  '480': 'H ACT AWST BDT BNT CAST HKT IRKT KRAST MYT PHT SGT ULAT WITA WST',
  '540': 'I AWDT IRKST JST KST PWT TLT WDT WIT YAKT',
  '570': 'ACST',
  '600': 'K AEST CHST PGT VLAT YAKST YAPT',
  '630': 'ACDT LHST',
  '660': 'L AEDT LHDT MAGT NCT PONT SBT VLAST VUT',
  '720': 'M ANAST ANAT FJT GILT MAGST MHT NZST PETST PETT TVT WFT',
  '765': 'CHAST',
  '780': 'FJST NZDT PHOT TOT',
  '825': 'CHADT',
  '840': 'LINT',
};

const offsets: ReadonlyMap<string, number> = new Map(
  Object.entries(byOffset).flatMap(([minutes, names]) =>
    names.split(' ').map((name) => [name, Number(minutes)] as const),
  ),
);

/** @returns minutes east of UTC, or undefined for an unknown name. */
export const zoneOffsetMinutes = (name: string): number | undefined =>
  offsets.get(name.toUpperCase());
