//! The width of the visitor's window, as a class.
//!
//! In: the width of the viewport in CSS pixels. Out: one of five classes. The exact width, above all
//! that of a window dragged to size, tells visitors apart; the class says what a designer asks.

/// Width class. The bounds are the breakpoints common to CSS frameworks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ScreenClass {
    /// Below 576: phones held upright.
    Xs,
    /// 576 to 767: large phones, phones on their side.
    Sm,
    /// 768 to 991: tablets held upright.
    Md,
    /// 992 to 1439: tablets on their side, laptops.
    Lg,
    /// 1440 and above: desktops.
    Xl,
}

impl ScreenClass {
    /// Sorts a width in CSS pixels into its class. Zero and anything above 32,767 is no real window
    /// and gives `None`.
    pub fn of(width_px: u32) -> Option<Self> {
        match width_px {
            0 | 32_768.. => None,
            1..576 => Some(Self::Xs),
            576..768 => Some(Self::Sm),
            768..992 => Some(Self::Md),
            992..1_440 => Some(Self::Lg),
            1_440..32_768 => Some(Self::Xl),
        }
    }

    /// Stable name, stored and shown.
    pub fn name(self) -> &'static str {
        match self {
            Self::Xs => "xs",
            Self::Sm => "sm",
            Self::Md => "md",
            Self::Lg => "lg",
            Self::Xl => "xl",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_where_the_documentation_says() {
        let class = |width| ScreenClass::of(width).map(ScreenClass::name);
        for (width, expected) in [
            (0, None),
            (1, Some("xs")),
            (575, Some("xs")),
            (576, Some("sm")),
            (767, Some("sm")),
            (768, Some("md")),
            (991, Some("md")),
            (992, Some("lg")),
            (1_439, Some("lg")),
            (1_440, Some("xl")),
            (32_767, Some("xl")),
            (32_768, None),
        ] {
            assert_eq!(class(width), expected, "{width}");
        }
    }
}
