/// The letter that an eye takes `character` for; `character` is of lower case where there is one.
pub(super) fn as_seen(character: char) -> Option<char> {
    Some(match character {
        // Alphabets of signs: full-width, circled, in brackets, in squares, flags.
        '\u{ff41}'..='\u{ff5a}' => return shifted(character, 0xff41),
        '\u{24d0}'..='\u{24e9}' => return shifted(character, 0x24d0),
        '\u{249c}'..='\u{24b5}' => return shifted(character, 0x249c),
        '\u{1f130}'..='\u{1f149}' => return shifted(character, 0x1f130),
        '\u{1f150}'..='\u{1f169}' => return shifted(character, 0x1f150),
        '\u{1f170}'..='\u{1f189}' => return shifted(character, 0x1f170),
        '\u{1f1e6}'..='\u{1f1ff}' => return shifted(character, 0x1f1e6),
        // Mathematical letters and digits stand in their order, one style behind the other.
        '\u{1d400}'..='\u{1d6a3}' => {
            let letter = (u32::from(character) - 0x1d400) % 26;
            return as_seen(char::from_u32(0x61 + letter)?);
        }
        '\u{1d7ce}'..='\u{1d7ff}' => {
            let digit = (u32::from(character) - 0x1d7ce) % 10;
            return as_seen(char::from_u32(0x30 + digit)?);
        }
        // Look-alikes of other scripts, small capitals and raised letters.
        'à'..='å'
        | 'ā'
        | 'ă'
        | 'ą'
        | 'ǎ'
        | 'ɑ'
        | 'α'
        | 'а'
        | 'ạ'
        | 'ả'
        | 'ᴀ'
        | 'ᴬ'
        | 'ᵃ'
        | 'ₐ'
        | 'ª'
        | 'ꓮ'
        | 'ꭺ' => 'a',
        'ß' | 'в' | 'β' | 'ь' | 'ƅ' | 'ʙ' | 'ᴮ' | 'ᵇ' | 'ℬ' | 'ꓐ' | 'ꮟ' => 'b',
        'ç' | 'ć' | 'ĉ' | 'ċ' | 'č' | 'с' | 'ϲ' | 'ƈ' | 'ᴄ' | 'ᶜ' | 'ℂ' | 'ℭ' | 'ꓚ' | 'ꮯ' => {
            'c'
        }
        'ď' | 'đ' | 'ԁ' | 'ɗ' | 'ᴅ' | 'ᴰ' | 'ᵈ' | 'ⅅ' | 'ⅆ' | 'ꓓ' | 'ꭰ' | 'ꮷ' => {
            'd'
        }
        'è'..='ë'
        | 'ē'
        | 'ĕ'
        | 'ė'
        | 'ę'
        | 'ě'
        | 'е'
        | 'ё'
        | 'є'
        | 'ε'
        | 'ẹ'
        | 'ҽ'
        | 'ᴇ'
        | 'ᴱ'
        | 'ᵉ'
        | 'ₑ'
        | 'ℯ'
        | 'ℰ'
        | 'ⅇ'
        | 'ꓰ'
        | 'ꭼ' => 'e',
        'ĝ' | 'ğ' | 'ġ' | 'ģ' | 'ɡ' | 'ց' | 'ǥ' | 'ɢ' | 'ᴳ' | 'ᵍ' | 'ℊ' | 'ꓖ' | 'ꮐ' => {
            'g'
        }
        'ĥ' | 'ħ' | 'һ' | 'հ' | 'н' | 'ʜ' | 'ᴴ' | 'ʰ' | 'ₕ' | 'ℋ' | 'ℌ' | 'ℍ' | 'ℎ' | 'ꓧ' | 'ꮋ' => {
            'h'
        }
        'ì'..='ï'
        | 'ĩ'
        | 'ī'
        | 'ĭ'
        | 'į'
        | 'ı'
        | 'і'
        | 'ї'
        | 'ι'
        | 'ɩ'
        | 'i'
        | 'l'
        | '1'
        | '|'
        | 'ĺ'
        | 'ļ'
        | 'ľ'
        | 'ł'
        | 'ӏ'
        | 'ⅼ'
        | 'ǀ'
        | 'ⅰ'
        | 'ʟ'
        | 'ᴸ'
        | 'ˡ'
        | 'ₗ'
        | 'ℒ'
        | 'ℓ'
        | 'ꓡ'
        | 'ꮮ'
        | 'ɪ'
        | 'ⁱ'
        | 'ᴵ'
        | 'ᵢ'
        | 'ℐ'
        | 'ℑ'
        | 'ℹ'
        | 'ⅈ'
        | 'ꓲ'
        | 'ꭵ' => 'l',
        'ķ' | 'к' | 'κ' | 'ᴋ' | 'ᴷ' | 'ᵏ' | 'ₖ' | 'ꓗ' | 'ꮶ' => 'k',
        'м' | 'ⅿ' | 'ᴍ' | 'ᴹ' | 'ᵐ' | 'ₘ' | 'ℳ' | 'ꓟ' | 'ꮇ' => 'm',
        'ñ' | 'ń' | 'ņ' | 'ň' | 'ո' | 'п' | 'η' | 'ɴ' | 'ⁿ' | 'ᴺ' | 'ₙ' | 'ℕ' | 'ꓠ' => {
            'n'
        }
        'ò'..='ö'
        | 'ø'
        | 'ō'
        | 'ŏ'
        | 'ő'
        | 'о'
        | 'ο'
        | 'օ'
        | '0'
        | 'σ'
        | 'ọ'
        | 'ᴏ'
        | 'ᴼ'
        | 'ᵒ'
        | 'ₒ'
        | 'ℴ'
        | 'º'
        | 'ꓳ' => 'o',
        'р' | 'ρ' | 'þ' | 'ᴘ' | 'ᴾ' | 'ᵖ' | 'ₚ' | 'ℙ' | 'ꓑ' | 'ꮲ' => 'p',
        'ŕ' | 'ŗ' | 'ř' | 'г' | 'ᴦ' | 'ʀ' | 'ᴿ' | 'ᵣ' | 'ʳ' | 'ℛ' | 'ℜ' | 'ℝ' | 'ꓣ' | 'ꭱ' | 'ꮢ' => {
            'r'
        }
        'ś' | 'ŝ' | 'ş' | 'š' | 'ѕ' | '5' | 'ƽ' | 'ꜱ' | 'ˢ' | 'ₛ' | 'ꓢ' | 'ꮥ' | 'ꮪ' => {
            's'
        }
        'ţ' | 'ť' | 'ŧ' | 'т' | 'τ' | 'ᴛ' | 'ᵀ' | 'ᵗ' | 'ₜ' | 'ꓔ' | 'ꭲ' => 't',
        'ù'..='ü'
        | 'ũ'
        | 'ū'
        | 'ŭ'
        | 'ů'
        | 'ű'
        | 'ų'
        | 'υ'
        | 'ս'
        | 'ц'
        | 'ʋ'
        | 'ᴜ'
        | 'ᵁ'
        | 'ᵘ'
        | 'ᵤ'
        | 'ꓴ' => 'u',
        'ν' | 'ѵ' | 'ⅴ' | 'ᴠ' | 'ᵛ' | 'ᵥ' | 'ⱽ' | 'ꓦ' | 'ꮩ' => 'v',
        'ŵ' | 'ѡ' | 'ԝ' | 'ω' | 'ᴡ' | 'ᵂ' | 'ʷ' | 'ꓪ' | 'ꮃ' | 'ꮤ' => 'w',
        'х' | 'χ' | 'ⅹ' | '×' | 'ˣ' | 'ₓ' | 'ꓫ' => 'x',
        'ý' | 'ÿ' | 'ŷ' | 'у' | 'ү' | 'γ' | 'ʏ' | 'ʸ' | 'ꓬ' => 'y',
        'ź' | 'ż' | 'ž' | 'ᴢ' | 'ᶻ' | 'ℤ' | 'ℨ' | 'ꓜ' | 'ꮓ' => 'z',
        'ꜰ' | 'ᶠ' | 'ℱ' | 'ꓝ' => 'f',
        'ᴊ' | 'ᴶ' | 'ʲ' | 'ⅉ' | 'ⱼ' | 'ꓙ' | 'ꭻ' => 'j',
        'ꞯ' | 'ℚ' => 'q',
        letter if letter.is_ascii_alphanumeric() => letter,
        _ => return None,
    })
}

fn shifted(character: char, first: u32) -> Option<char> {
    as_seen(char::from_u32(0x61 + u32::from(character) - first)?)
}
