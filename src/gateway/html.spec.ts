import { describe, expect, it } from 'vitest';
import { html, jsonScript } from './html.js';

describe('HTML', () => {
  it('is not broken by a text in it', () => {
    expect(html`<td title="${'"><script>'}">${"a & b's"}</td>`.markup).toBe(
      '<td title="&quot;&gt;&lt;script&gt;">a &amp; b&#39;s</td>',
    );
  });

  it('takes HTML, lists of it and numbers as they are', () => {
    const items = [1, 2].map((n) => html`<b>${n}</b>`);
    expect(html`<p>${items}</p>`.markup).toBe('<p><b>1</b><b>2</b></p>');
  });

  it('holds a document that no text in it can end', () => {
    const document = { text: '</script><!--' };
    const { markup } = jsonScript('it', document);
    expect(markup.indexOf('</script>')).toBe(markup.length - '</script>'.length);
    expect(JSON.parse(markup.slice(markup.indexOf('>') + 1, -'</script>'.length))).toEqual(document);
  });
});
