// Text in a page.
#pragma once

#include <string>
#include <string_view>

namespace shardgrad {

/// `text` for HTML, in elements and in attributes between quotes: it is shown, never obeyed. What
/// is not UTF-8, or a control character other than a newline and a tab, becomes U+FFFD.
std::string html_escaped(std::string_view text);

}  // namespace shardgrad
