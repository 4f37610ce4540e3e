//! Values of options, shown as they are typed.

macro_rules! shown_as_typed {
    ($($name:ty),*) => {$(
        impl std::fmt::Display for $name {
            fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                let value = clap::ValueEnum::to_possible_value(self).expect("no value is skipped");
                formatter.write_str(value.get_name())
            }
        }
    )*};
}

pub(crate) use shown_as_typed;
